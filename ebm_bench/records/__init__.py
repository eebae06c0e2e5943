"""What runs leave: records, tables of them, and what they depend on."""

from ebm_bench.records.schema import (
    ESCAPED_ABOVE,
    FAILED,
    Cost,
    CurvePoint,
    Estimation,
    Evaluation,
    Outcome,
    Provenance,
    Run,
    Segment,
    Status,
    Steps,
    Theory,
    Value,
    read,
    read_whole,
    write,
)
