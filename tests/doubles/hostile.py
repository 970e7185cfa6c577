"""Values that a file can hold and that no key may take for what they resemble: made of each key's own examples."""

from datetime import UTC, date, datetime

LOOK_ALIKES = str.maketrans("aeiopcxy0135", "аеіорсху０１３５")  # Cyrillic letters, full-width digits
OF_ANY_KEY = [
    *("", " ", "\0", "\n", "\t", "a\0b", "../../../etc/passwd", "/etc/passwd", "a" * 5000, "9" * 200, "é", "\u202e"),
    *("%s", "{0}", '"; flush ruleset; "', "$(reboot)", "`reboot`", "null", "None", "nan", "١٢", "\ud7ff", "-1"),
    *("true", "0x10", "1e3"),
    *(-1, -(2**63), 2**31, 2**63 - 1, 1e308, float("nan"), float("inf"), float("-inf"), 0.5, -0.0),
    *([], [[]], [[1]], [{}], [""], [None], ["\0"], [-1], [True], {}, {"": 1}, {"a": {"b": {}}}),
    *(date(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC)),
]  # fmt: skip


def near(example):
    """Yield what *example* would be with one fault."""
    match example:
        case bool():
            yield from (str(example).lower(), int(example), "yes", [example], float(example))
        case int():
            yield from (str(example), float(example), True, False, -example, example + 2**40, [example], {"n": example})
        case str():
            yield from (f"{example}\n", f"\n{example}", f" {example}\r\n", f"{example}\0", f"{example}\u200b")
            yield from (f'{example}"', f"{example}'", f"{example};", f"{example}/..", f"../{example}", f"{example},")
            yield from (f"\u202e{example}", f"{example}\u00a0", example + "x" * 300, [[example]], {"value": example})
            if (alike := example.translate(LOOK_ALIKES)) != example:
                yield alike
        case list():
            yield from ([*example, None], [[*example]], {"list": example}, [*example] * 600, [*example, {}])
            for bad in near(example[0]):
                yield [bad, *example[1:]]
        case dict():
            yield from ([example], list(example), {"": example}, {**example, "\0": 1})


def hostile(examples):
    """Return hostile values for a key with *examples*, each once."""
    found = [*OF_ANY_KEY, *(bad for example in examples for bad in near(example))]
    return list({f"{type(value).__name__} {value!r}": value for value in found}.values())
