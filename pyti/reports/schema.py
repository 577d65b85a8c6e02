"""The report as JSON, and the JSON Schema of it that others may rely upon."""

from __future__ import annotations

from typing import Any

import msgspec

from pyti.reports.model import REPORT_VERSION, Report

__all__ = ["decode_report", "render_json", "report_schema"]


def render_json(report: Report) -> bytes:
    """Give the report as indented JSON with a line feed at its end; every field is there, also the empty ones."""
    # json's own escapes make control characters harmless; a terminal sees none of them
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def decode_report(data: bytes) -> Report:
    """Read what ``render_json`` wrote; raises ``msgspec.ValidationError`` or ``msgspec.DecodeError``."""
    return msgspec.json.decode(data, type=Report)


def report_schema() -> dict[str, Any]:
    """Give the JSON Schema (2020-12) of a report."""
    schema = msgspec.json.schema(Report)
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "PyTI report",
        "description": f"What PyTI has to say about one job; report_version {REPORT_VERSION}.",
        **schema,
    }
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document))  # as a file would give it back
    return plain
