#!/usr/bin/env python3
"""Writes the measured cases as they were run on one PostgreSQL major: cases.py FILE MAJOR.

Some statements of a case were run on some majors only; the evaluator expects plain texts.
"""
import json
import sys


def plain(statements, major):
    for s in statements:
        if isinstance(s, str):
            yield s
        elif s["min"] <= major <= s["max"]:
            yield s["s"]


path, major = sys.argv[1], int(sys.argv[2])
with open(path, encoding="utf8") as lines:
    for line in lines:
        case = json.loads(line)
        for key in ("setup", "stmts"):
            case[key] = list(plain(case[key], major))
        print(json.dumps(case))
