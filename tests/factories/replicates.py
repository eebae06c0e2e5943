"""Tables of replicated measurements."""

import pandas as pd


def table(status=None, model="energy", dataset="d", metric="m", **methods):
    """Replicates of methods; a status by (method, replicate) where it is not ok."""
    return pd.DataFrame(
        [
            {
                "dataset": dataset,
                "method": method,
                "model": model,
                "metric": metric,
                "replicate": r,
                "status": (status or {}).get((method, r), "ok"),
                "value": value,
                "standard_error": None,
            }
            for method, values in methods.items()
            for r, value in enumerate(values)
        ]
    )
