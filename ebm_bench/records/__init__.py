"""What runs leave: records, tables of them, and what they depend on."""

from ebm_bench.records.schema import (
    FAILED,
    Cost,
    CurvePoint,
    Estimation,
    Evaluation,
    Outcome,
    Provenance,
    Run,
    Status,
    Theory,
    Value,
    read,
    write,
)

__all__ = [
    "FAILED",
    "Cost",
    "CurvePoint",
    "Estimation",
    "Evaluation",
    "Outcome",
    "Provenance",
    "Run",
    "Status",
    "Theory",
    "Value",
    "read",
    "write",
]
