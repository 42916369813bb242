"""AWS: tools that run in the background what is in AWS. boto3 is loaded at the first call."""

from __future__ import annotations

from .athena import athena_query_tool
from .definition import ToolOptions
from .dynamodb import dynamodb_get_tool, dynamodb_query_tool
from .functions import lambda_tool
from .jobs import batch_job_tool, glue_job_tool
from .results import DynamoDBResult, Outcome, ResultPlace, S3Result, SQSResult
from .s3 import s3_get_tool, s3_list_tool, s3_put_tool
from .step_functions import step_functions_tool

__all__ = [
    "DynamoDBResult",
    "Outcome",
    "ResultPlace",
    "S3Result",
    "SQSResult",
    "ToolOptions",
    "athena_query_tool",
    "batch_job_tool",
    "dynamodb_get_tool",
    "dynamodb_query_tool",
    "glue_job_tool",
    "lambda_tool",
    "s3_get_tool",
    "s3_list_tool",
    "s3_put_tool",
    "step_functions_tool",
]
