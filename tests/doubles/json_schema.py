"""A judge of JSON Schema: the keywords of dialect 2020-12 that neo's schema uses, as ECMA-262 reads their patterns."""

import re
from datetime import date, time

KNOWN = {
    "$ref", "additionalProperties", "allOf", "anyOf", "const", "enum", "else", "if", "items", "maxItems", "maxLength",
    "maximum", "minItems", "minLength", "minimum", "not", "oneOf", "pattern", "patternProperties", "properties",
    "propertyNames", "required", "then", "type", "uniqueItems",
}  # fmt: skip
SAYS_NOTHING = {"$defs", "$schema", "default", "description", "examples", "format", "title"}
TYPES = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}


def matches(pattern, text):
    """Whether *pattern* is found in *text*; ``$`` is its very end, not also before a last newline as in Python."""
    return re.search(re.sub(r"(?<!\\)\$(?=\)|\||$)", r"\\Z", pattern), text) is not None


def _same(one, other):
    return isinstance(one, bool) == isinstance(other, bool) and one == other


class Schema:
    """One schema, whose definitions are those of *root*."""

    def __init__(self, schema, root=None):
        self.schema, self.root = schema, root or schema

    def below(self, schema):
        return Schema(schema, self.root)

    def accepts(self, value):
        if self.schema in (True, False):
            return self.schema
        unknown = self.schema.keys() - KNOWN - SAYS_NOTHING
        assert not unknown, f"the judge does not know {unknown}"
        if isinstance(value, date | time):
            return False  # JSON has none
        tests = (getattr(self, f"_{key.strip('$')}", None) for key in self.schema)
        return all(test(value) for test in tests if test)

    def _ref(self, value):
        found = self.root
        for part in self.schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return self.below(found).accepts(value)

    def _type(self, value):
        types = self.schema["type"]
        return any(TYPES[one](value) for one in ([types] if isinstance(types, str) else types))

    def _const(self, value):
        return _same(self.schema["const"], value)

    def _enum(self, value):
        return any(_same(one, value) for one in self.schema["enum"])

    def _minimum(self, value):
        return not TYPES["number"](value) or value >= self.schema["minimum"]

    def _maximum(self, value):
        return not TYPES["number"](value) or value <= self.schema["maximum"]

    def _pattern(self, value):
        return not isinstance(value, str) or matches(self.schema["pattern"], value)

    def _maxLength(self, value):
        return not isinstance(value, str) or len(value) <= self.schema["maxLength"]

    def _items(self, value):
        return not isinstance(value, list) or all(self.below(self.schema["items"]).accepts(one) for one in value)

    def _minItems(self, value):
        return not isinstance(value, list) or len(value) >= self.schema["minItems"]

    def _maxItems(self, value):
        return not isinstance(value, list) or len(value) <= self.schema["maxItems"]

    def _uniqueItems(self, value):
        return not isinstance(value, list) or not any(_same(a, b) for i, a in enumerate(value) for b in value[:i])

    def _anyOf(self, value):
        return any(self.below(one).accepts(value) for one in self.schema["anyOf"])

    def _oneOf(self, value):
        return sum(self.below(one).accepts(value) for one in self.schema["oneOf"]) == 1

    def _allOf(self, value):
        return all(self.below(one).accepts(value) for one in self.schema["allOf"])

    def _not(self, value):
        return not self.below(self.schema["not"]).accepts(value)

    def _if(self, value):
        branch = "then" if self.below(self.schema["if"]).accepts(value) else "else"
        return self.below(self.schema.get(branch, True)).accepts(value)

    def _required(self, value):
        return not isinstance(value, dict) or all(name in value for name in self.schema["required"])

    def _properties(self, value):
        known = self.schema["properties"]
        return not isinstance(value, dict) or all(
            self.below(known[name]).accepts(one) for name, one in value.items() if name in known
        )

    def _patternProperties(self, value):
        return not isinstance(value, dict) or all(
            self.below(schema).accepts(one)
            for pattern, schema in self.schema["patternProperties"].items()
            for name, one in value.items()
            if matches(pattern, name)
        )

    def _propertyNames(self, value):
        return not isinstance(value, dict) or all(self.below(self.schema["propertyNames"]).accepts(n) for n in value)

    def _additionalProperties(self, value):
        if not isinstance(value, dict):
            return True
        patterns = self.schema.get("patternProperties", {})
        more = {
            name: one
            for name, one in value.items()
            if name not in self.schema.get("properties", {}) and not any(matches(p, name) for p in patterns)
        }
        return all(self.below(self.schema["additionalProperties"]).accepts(one) for one in more.values())
