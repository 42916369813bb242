"""What AWS's errors mean."""

from __future__ import annotations

from typing import Any

import pytest
from botocore import exceptions
from hypothesis import given
from hypothesis import strategies as st

from backchannel.aws.refusal import action_of, refusal_of

from .fakes import refusal


def said(error: Exception, service: str = "dynamodb", method: str = "get_item", about: str = "table orders") -> str:
    found = refusal_of(error, service, method, about)
    assert found is not None
    return str(found)


@pytest.mark.parametrize(
    ("service", "method", "action"),
    [
        ("lambda", "invoke", "lambda:InvokeFunction"),
        ("stepfunctions", "start_execution", "states:StartExecution"),
        ("s3", "list_objects_v2", "s3:ListBucket"),
        ("s3", "get_object", "s3:GetObject"),
        ("dynamodb", "query", "dynamodb:Query"),
        ("glue", "batch_stop_job_run", "glue:BatchStopJobRun"),
    ],
)
def test_actions_are_those_of_iam(service: str, method: str, action: str):
    assert action_of(service, method) == action


@pytest.mark.parametrize(
    ("error", "words", "may_pass"),
    [
        (refusal("AccessDeniedException", "User: u"), ["dynamodb:GetItem", "IAM policy", "AWS says: User: u"], False),
        (refusal("AccessDenied", status=403), ["dynamodb:GetItem", "table orders"], False),
        (refusal("SomethingNew", status=403), ["dynamodb:GetItem"], False),
        (refusal("ProvisionedThroughputExceededException"), ["throttling", "later"], True),
        (refusal("SlowDown", status=503), ["throttling"], True),
        (refusal("ResourceNotFoundException"), ["finds no table orders", "region"], False),
        (refusal("ExpiredTokenException", "secret"), ["have expired", "sign in again"], False),
        (refusal("UnrecognizedClientException"), ["AWS_PROFILE", "sign in again", "clock"], False),
        (refusal("PermanentRedirect", status=301), ["another region", "region_name="], False),
        (refusal("InvalidArn", "Invalid Region"), ["another region", "Invalid Region"], False),
        (refusal("RequestEntityTooLargeException", "6 MB", 413), ["too large", "into S3", "6 MB"], False),
        (refusal("InternalServerError", status=500), ["failed", "later"], True),
        (refusal("ValidationException", "bad key"), ["refused", "bad key"], False),
        (exceptions.NoCredentialsError(), ["No AWS credentials", "profile_name="], False),
        (exceptions.PartialCredentialsError(provider="env", cred_var="x"), ["No AWS credentials"], False),
        (exceptions.NoRegionError(), ["AWS_REGION", "region_name="], False),
        (exceptions.ProfileNotFound(profile="mine"), ["mine", "list-profiles"], False),
        (exceptions.UnauthorizedSSOTokenError(), ["aws sso login"], False),
        (exceptions.EndpointConnectionError(endpoint_url="http://x"), ["cannot be reached", "network"], True),
        (exceptions.ConnectTimeoutError(endpoint_url="http://x"), ["cannot be reached"], True),
        (exceptions.ReadTimeoutError(endpoint_url="http://x"), ["did not answer in time", "look before"], True),
        (exceptions.ConnectionClosedError(endpoint_url="http://x"), ["was cut off", "look before"], True),
        (exceptions.ParamValidationError(report="too short"), ["cannot be sent", "too short"], False),
    ],
)
def test_each_error_says_what_to_do_and_whether_it_may_pass(error: Exception, words: list[str], may_pass: bool):
    found = refusal_of(error, "dynamodb", "get_item", "table orders")
    assert found is not None
    assert found.may_pass is may_pass
    assert found.code
    for word in words:
        assert word in str(found)


def test_what_may_repeat_a_signed_request_is_not_passed_on():
    assert "secret" not in said(refusal("SignatureDoesNotMatch", "The canonical string was secret", 403))


def test_what_is_not_found_says_where_it_was_looked_for():
    found = refusal_of(refusal("ResourceNotFoundException"), "dynamodb", "get_item", "table orders", "eu-west-1")
    assert "finds no table orders in eu-west-1" in str(found)


def test_a_function_that_does_not_answer_is_better_called_by_an_event():
    error = exceptions.ReadTimeoutError(endpoint_url="http://x")
    found = refusal_of(error, "lambda", "invoke", "Lambda function f")
    assert found is not None
    assert 'mode="event"' in str(found)
    assert not found.may_pass


def test_an_error_that_is_not_of_boto3_is_left_alone():
    assert refusal_of(RuntimeError("no"), "s3", "get_object", "x") is None


@given(st.text(max_size=3000), st.text(max_size=30), st.integers(0, 599))
def test_whatever_aws_answers_the_text_is_bounded(message: str, code: str, status: int):
    found: Any = refusal_of(refusal(code, message, status), "s3", "put_object", "bucket b")
    assert 0 < len(str(found)) < 1000


def test_an_answer_without_an_error_is_an_error_all_the_same():
    assert "unknown" in said(exceptions.ClientError({}, "GetItem"))
