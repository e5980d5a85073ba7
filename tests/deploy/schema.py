"""As much of JSON Schema (draft 7) as the chart's schema uses. A keyword that is not known here is an error."""

from __future__ import annotations

import re

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}
KEYWORDS = {"$schema", "title", "type", "properties", "required", "additionalProperties", "items", "enum", "minimum", "maximum",
            "minLength", "maxLength", "pattern", "anyOf"}


def schema_complaints(schema: dict, where: str = "schema") -> list[str]:
    """What makes a schema none."""
    if not isinstance(schema, dict):
        return [f"{where} is no object"]
    wrong = [f"{where}: no keyword {name}" for name in schema if name not in KEYWORDS]
    if "type" in schema and schema["type"] not in TYPES:
        wrong.append(f"{where}: no type {schema['type']}")
    for name in schema.get("required", []):
        if name not in schema.get("properties", {}):
            wrong.append(f"{where}: requires {name}, of which it says nothing")
    if "pattern" in schema:
        try:
            re.compile(schema["pattern"])
        except re.error as error:
            wrong.append(f"{where}: pattern: {error}")
    for name, part in schema.get("properties", {}).items():
        wrong += schema_complaints(part, f"{where}.{name}")
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            wrong += schema_complaints(schema[name], f"{where}.{name}")
    for part in schema.get("anyOf", []):
        wrong += schema_complaints(part, f"{where}.anyOf")
    return wrong


def complaints(schema: dict, value, where: str = "values") -> list[str]:
    """In what a value does not conform."""
    if "anyOf" in schema and all(complaints(part, value, where) for part in schema["anyOf"]):
        return [f"{where}: {value!r} is none of what it may be"]
    kind = schema.get("type")
    if kind and (not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return [f"{where}: {value!r} is no {kind}"]
    wrong = []
    if "enum" in schema and value not in schema["enum"]:
        wrong.append(f"{where}: {value!r} is none of {schema['enum']}")
    if isinstance(value, str):
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
            wrong.append(f"{where}: {value!r} is too short or too long")
        if "pattern" in schema and not re.search(schema["pattern"], value):
            wrong.append(f"{where}: {value!r} is not {schema['pattern']}")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
            wrong.append(f"{where}: {value} is out of bounds")
    if isinstance(value, list) and "items" in schema:
        for at, item in enumerate(value):
            wrong += complaints(schema["items"], item, f"{where}[{at}]")
    if isinstance(value, dict):
        properties, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        wrong += [f"{where}: {name} is missing" for name in schema.get("required", []) if name not in value]
        for name, item in value.items():
            if name in properties:
                wrong += complaints(properties[name], item, f"{where}.{name}")
            elif others is False:
                wrong.append(f"{where}: nothing is called {name}")
            elif isinstance(others, dict):
                wrong += complaints(others, item, f"{where}.{name}")
    return wrong
