"""Refusals: what AWS's errors mean, and what to do about each. Pure."""

from __future__ import annotations

from typing import Any

from ..errors import AWSError
from ..tools.text import cut

__all__ = ["CREDENTIALS", "THROTTLED", "action_of", "refusal_of"]

_QUOTED = 400

_PREFIXES = {"stepfunctions": "states"}
_ACTIONS = {("lambda", "invoke"): "lambda:InvokeFunction", ("s3", "list_objects_v2"): "s3:ListBucket"}

_HINTS = {"s3:GetObject": " Without s3:ListBucket on the bucket, S3 says the same of an object that does not exist."}

_DENIED = {"AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation", "403"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_INVALID = {
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
_NOT_FOUND = {
    "404",
    "AWS.SimpleQueueService.NonExistentQueue",
    "EntityNotFoundException",
    "NoSuchBucket",
    "NoSuchKey",
    "QueueDoesNotExist",
    "ResourceNotFoundException",
    "StateMachineDoesNotExist",
}
_ELSEWHERE = {"AuthorizationHeaderMalformed", "InvalidArn", "PermanentRedirect"}
_TOO_LARGE = {"EntityTooLarge", "RequestEntityTooLargeException", "RequestTooLargeException"}
THROTTLED = {
    "BandwidthLimitExceeded",
    "ConcurrentRunsExceededException",
    "EC2ThrottledException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}
_LOGIN = {"SSOError", "SSOTokenLoadError", "TokenRetrievalError", "UnauthorizedSSOTokenError", "LoginError"}

_MISSING = {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"}

CREDENTIALS = _EXPIRED | _INVALID | _LOGIN | _MISSING | {"NoRegionError", "ProfileNotFound"}
"""Codes that end when the user has signed in, and has said where."""


def action_of(service: str, method: str) -> str:
    """Return the IAM action that a client's method needs."""
    camel = "".join(part.capitalize() for part in method.split("_"))
    return _ACTIONS.get((service, method), f"{_PREFIXES.get(service, service)}:{camel}")


def refusal_of(error: Exception, service: str, method: str, about: str, region: str = "") -> AWSError | None:
    """Return what to tell of an exception of boto3; None if it is none.

    Args:
        about: What the request was about, as in ``table orders``.
        region: Where it was sent, if that is known.
    """
    from botocore import exceptions

    if isinstance(error, exceptions.ClientError):
        return _answered(error.response, action_of(service, method), about, region)
    if not isinstance(error, (exceptions.BotoCoreError, exceptions.HTTPClientError)):
        return None
    return _unsent(error, type(error).__name__, exceptions, service, about)


def _answered(response: Any, action: str, about: str, region: str) -> AWSError:
    fault = response.get("Error", {})
    code = str(fault.get("Code") or "unknown")
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    said = str(fault.get("Message") or "").strip()
    quoted = f" AWS says: {cut(said, _QUOTED)}" if said else ""
    if code in _EXPIRED:
        return AWSError(
            f"The AWS credentials for {about} have expired ({code}): sign in again (aws sso login, or new keys), then "
            "call again.",
            code=code,
        )
    if code in _INVALID:
        # What AWS says here may repeat the signed request.
        return AWSError(
            f"AWS does not take the credentials for {about} ({code}). They are wrong, belong to another account or "
            "endpoint, or this computer's clock is wrong: check AWS_PROFILE or sign in again (aws sso login, or new "
            "keys), then call again.",
            code=code,
        )
    if code in _DENIED or status == 403:
        return AWSError(
            f"AWS does not allow {action} on {about} ({code}). Allow the action {action} on that resource in the IAM "
            f"policy of the credentials in use.{_HINTS.get(action, '')}{quoted}",
            code=code,
        )
    if code in THROTTLED or status == 429:
        return AWSError(
            f"AWS is throttling {action} on {about} ({code}). Call again later, run fewer tasks at a time, or raise "
            f"the limit.{quoted}",
            code=code,
            may_pass=True,
        )
    here = f" in {region}" if region else ""
    if code in _NOT_FOUND or status == 404:
        return AWSError(
            f"AWS finds no {about}{here} ({code}). Check the name, the region and the account.{quoted}",
            code=code,
        )
    if code in _ELSEWHERE or status == 301:
        return AWSError(
            f"AWS has no {about}{here} ({code}): it is probably in another region. Give the tool region_name=, or set "
            f"AWS_REGION.{quoted}",
            code=code,
        )
    if code in _TOO_LARGE or status == 413:
        return AWSError(
            f"AWS does not take what was sent for {about} ({code}), most likely because it is too large. Put the data "
            f"into S3 and send its key.{quoted}",
            code=code,
        )
    if status >= 500:
        return AWSError(f"AWS failed on {about} ({code}). Call again later.{quoted}", code=code, may_pass=True)
    return AWSError(f"AWS refused {action} on {about} ({code}).{quoted}", code=code)


def _unsent(error: Exception, code: str, exceptions: Any, service: str, about: str) -> AWSError:
    if code in _LOGIN:
        text = f"The AWS sign-in for {about} has ended. Sign in again (aws sso login), then call again."
    elif code in _MISSING:
        text = (
            f"No AWS credentials were found for {about}. Sign in (aws configure, or aws sso login), set AWS_PROFILE, "
            "or give the tool profile_name= or session=."
        )
    elif isinstance(error, exceptions.ProfileNotFound):
        text = (
            f"{cut(str(error), _QUOTED)}. Check profile_name= or AWS_PROFILE; aws configure list-profiles shows them."
        )
    elif isinstance(error, exceptions.NoRegionError):
        text = f"No AWS region is set for {about}. Set AWS_REGION, or give the tool region_name=."
    elif isinstance(error, (exceptions.ReadTimeoutError, exceptions.ConnectionClosedError)):
        late = "did not answer in time" if isinstance(error, exceptions.ReadTimeoutError) else "was cut off"
        text = f"AWS {late} about {about}. What was asked for may still be running there: look before calling again."
        if service == "lambda":
            text += ' A function that runs longer is better called with mode="event".'
        return AWSError(text, code=code, may_pass=service != "lambda")
    elif isinstance(error, (exceptions.ParamValidationError, exceptions.InvalidRegionError, ValueError)):
        text = f"The request about {about} cannot be sent: {cut(str(error), _QUOTED)}"
    elif isinstance(error, (exceptions.HTTPClientError, exceptions.ConnectionError)):
        text = f"AWS cannot be reached for {about}: {cut(str(error), _QUOTED)} Check the network and the region."
        return AWSError(text, code=code, may_pass=True)
    else:
        text = f"The request about {about} failed: {cut(str(error), _QUOTED)}"
    return AWSError(text, code=code)
