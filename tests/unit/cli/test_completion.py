"""What the shells offer, asked of the shells themselves, against a fake daemon on a real socket."""

import asyncio
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from tests.doubles.control import STATUS, FakeControl, serving

from neod.control.verbs.objects import Resource, ShowReply

BASH = r"""
. ./script
printf -v COMP_LINE '%s ' "$@"
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_neodctl
printf '%s\n' "${COMPREPLY[@]}"
"""

FISH = "source ./script; complete -C (string join ' ' -- $argv)"

# Source of the way: a pseudo terminal in which all matches are inserted, separated by line feeds.
ZSH = r"""
zmodload zsh/zpty
zpty shell zsh -f -i
hear() { local line; while zpty -r shell line; do case $line in *$1*) break ;; esac; done }
zpty -w shell "PS1=; unsetopt zle_bracketed_paste 2>/dev/null; fpath=($PWD \$fpath)"
zpty -w shell 'autoload -Uz compinit; compinit -u -D; zstyle ":completion:*" list-colors; LISTMAX=9999'
zpty -w shell 'zstyle ":completion:*" format ""; zstyle ":completion:*" verbose no'
zpty -w shell 'compadd() { local -a __hits; builtin compadd -O __hits "$@"; print -rl -- "HIT:"$^__hits >>./hits;'\
' builtin compadd "$@"; }'
zpty -w shell 'done-with() { print -r -- x >./done }; zle -N done-with; bindkey "^B" done-with; print -r READ""Y'
hear READY
zpty -w -n shell "$*"$'\t\C-B'
for ((i = 0; i < 200; i++)); do [[ -e ./done ]] && break; sleep 0.05; done
zpty -d shell
[[ -e hits ]] && sed -n 's/^HIT://p' hits
"""

SHELLS = {"bash": ["bash", "-c", BASH, "bash"], "zsh": ["zsh", "-f", "-c", ZSH, "zsh"], "fish": ["fish", "-c", FISH]}


@pytest.fixture
def control():
    control = FakeControl()
    control.answers["show"] = ShowReply(
        "desired", (Resource("link:neo1", "link", {}), Resource("rule:11001/x", "rule", {}))
    )
    control.answers["status"] = replace(STATUS, paths=(replace(STATUS.paths[0], name="neo1"),))
    return control


@pytest.fixture(params=SHELLS)
def shell(request, tmp_path):
    """A function that returns what the shell offers for the last of some words."""
    if not shutil.which(request.param):
        pytest.skip(f"no {request.param} on this machine: make test installs it")
    neodctl = tmp_path / "bin/neodctl"
    neodctl.parent.mkdir()
    neodctl.write_text(f"#!{sys.executable}\nimport sys\nfrom neod.cli.main import main\nsys.exit(main())\n")
    neodctl.chmod(0o755)
    place = "_neodctl" if request.param == "zsh" else "script"
    with (tmp_path / place).open("w") as script:
        subprocess.run([neodctl, "completion", request.param], stdout=script, check=True)
    (tmp_path / "files").mkdir()
    (tmp_path / "files/new neo.toml").touch()
    environ = os.environ | {"PATH": f"{neodctl.parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}

    async def offers(*words):
        (tmp_path / "hits").unlink(missing_ok=True)
        (tmp_path / "done").unlink(missing_ok=True)
        process = await asyncio.create_subprocess_exec(
            *SHELLS[request.param], *words, stdout=subprocess.PIPE, cwd=tmp_path, env=environ
        )
        out, _ = await asyncio.wait_for(process.communicate(), 60)
        return {line.partition("\t")[0].rstrip("=") for line in out.decode().splitlines() if line}

    return offers


async def test_commands_are_offered(shell):
    assert await shell("neodctl", "re") == {"reload", "resume"}


async def test_a_command_is_found_behind_options(shell):
    assert await shell("neodctl", "--json", "--runtime-dir", "/run", "re") == {"reload", "resume"}


async def test_each_argument_has_what_belongs_in_its_place(shell):
    assert await shell("neodctl", "import", "") == {"ifupdown"}
    assert await shell("neodctl", "show", "--json", "") == {"desired", "observed"}
    assert await shell("neodctl", "completion", "b") == {"bash"}


async def test_files_are_offered_where_there_is_a_file(shell):
    for words in (("import", "ifupdown"), ("plan",), ("validate", "--json")):
        offered = await shell("neodctl", *words, "files/")
        names = {word.replace("\\", "").removeprefix("files/") for word in offered}
        assert names - {"files"} == {"new neo.toml"}  # zsh offers the folder to itself, too


async def test_options_are_offered_before_and_after_arguments(shell):
    assert "--json" in await shell("neodctl", "--")
    assert await shell("neodctl", "wait", "--ti") == {"--timeout"}
    assert await shell("neodctl", "show", "desired", "link", "--js") == {"--json"}


async def test_names_come_from_the_daemon_of_the_runtime_directory(shell, control, tmp_path):
    async with serving(control, tmp_path):
        assert "neo1" in await shell("neodctl", "--runtime-dir", str(tmp_path), "why", "")
        assert await shell("neodctl", "--runtime-dir", str(tmp_path), "show", "desired", "") == {"link", "rule"}


async def test_without_a_daemon_no_name_is_offered_and_nothing_is_said(shell, tmp_path):
    offered = await shell("neodctl", "--runtime-dir", str(tmp_path), "show", "desired", "")
    assert {word for word in offered if not word.startswith("-")} == set()  # zsh goes on to the options
