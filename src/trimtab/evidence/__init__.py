"""The evidence plane at rest: journals become open Parquet, and questions are answered from both."""
