"""Answers OEE questions with PyPI's `oee`: one JSON object a line on stdin, one answer a line on stdout. Driven by it/oee_oracle.rs."""

import json
import sys

import oee

FIELDS = (
    "availability", "performance", "performance_raw", "quality", "oee", "ooe", "teep", "fully_productive_time", "availability_loss",
    "performance_loss", "quality_loss", "six_losses", "downtime_reasons", "total_count", "good_count",
)


def answer(question):
    kind, args = question["kind"], question["args"]
    if kind == "explicit":
        result = oee.oee(**args)
    elif kind == "log":
        result = oee.from_log(**args)
    elif kind == "roll_up":
        result = oee.aggregate([oee.oee(**machine) for machine in args])
    else:
        raise ValueError(kind)
    told = {field: getattr(result, field) for field in FIELDS}
    told["capped"] = any(alert.indicator == "performance" for alert in result.alerts)
    return told


def main():
    print(json.dumps({"version": oee.__version__}))
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))))


main()
