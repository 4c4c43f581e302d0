"""The program's text as BCC gets it."""

import re

from dataplane.source import BPF_DIRECTORY, Limits, digest, probes_source, source


def test_every_quoted_include_is_pasted_in_place() -> None:
    text = source(Limits()) + probes_source()

    assert '#include "' not in text
    for header in BPF_DIRECTORY.glob("*.h"):
        assert f'#line 1 "{header.name}"' in text


def test_line_numbers_are_right_behind_an_include() -> None:
    """An error message that names the wrong line costs an hour."""
    lines = source(Limits()).splitlines()
    main = (BPF_DIRECTORY / "balancer.c").read_text().splitlines()

    for place, line in enumerate(lines):
        if match := re.fullmatch(r'#line (\d+) "balancer.c"', line):
            number = int(match[1])
            following = main[number - 1] if number <= len(main) else ""
            assert lines[place + 1] == following or following.startswith('#include "')


def test_limits_are_part_of_what_makes_a_program_the_same() -> None:
    texts = [source(Limits()), source(Limits(services=7))]

    assert "#define LIMIT_SERVICES 7\n" in texts[1]
    assert digest(texts[0]) == digest(source(Limits())) != digest(texts[1])
    assert re.fullmatch("[0-9a-f]{16}", digest(texts[0]))
