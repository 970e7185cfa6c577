"""The file: what a bad one must not do, and what a good one changes."""

import pytest
from tests.lab import Campus, poll
from tests.lab.taps import Writes

pytestmark = pytest.mark.kernel

BAD = {
    "empty": "",
    "blank": "\n\n# nothing\n",
    "syntax": '[macvlans.neo\nparent = "ens3"\n',
    "unknown-key": '[macvlans.neo]\nparent = "ens3"\ncount = 4\nipv4 = "dhcp"\ncolour = "red"\n',
    "one-table-twice": '[macvlans.a]\nparent = "ens3"\ncount = 4\n[macvlans.b]\nparent = "ens3"\ncount = 4\n',
    "reserved-table": '[macvlans.neo]\nparent = "ens3"\nids = "250-255"\n',
    "long-name": '[macvlans.averyverylongname]\nparent = "ens3"\ncount = 4\n',
    "multicast-mac": '[macvlans.neo]\nparent = "ens3"\nmacs = ["03:00:00:00:00:01"]\n',
    "bomb": "a." * 5000 + "b = 1\n",
}


@pytest.fixture(scope="module")
def steady(laboratory):
    """A converged campus whose file goes bad again and again."""
    with Campus(4) as campus:
        campus.host.write_config(campus.file())
        campus.host.start_neod()
        campus.wait_converged()
        campus.host.wait()
        yield campus


@pytest.mark.parametrize("bad", BAD)
def test_bad_file_at_reload_exits_78_and_changes_nothing(steady, bad):
    before = steady.host.look()
    steady.host.write_config(BAD[bad])
    with Writes(steady.host.ns) as writes:
        answer = steady.host.ctl("reload")
        assert answer.status == 78, answer
        assert "Traceback" not in answer.err
        assert str(steady.host.config) in answer.out + answer.err or bad in {"empty", "blank"}
        assert writes.count() == {}
    assert before.difference(steady.host.look()) == []
    state = steady.host.ctl("status", "--json").json["file"]
    assert state["state"] == "stale"
    assert state["problems"]
    steady.host.write_config(steady.file())
    assert steady.host.ctl("reload").status == 0
    assert steady.host.ctl("status", "--json").json["file"]["state"] == "ok"


def test_missing_file_at_reload_exits_78_and_changes_nothing(steady):
    before = steady.host.look()
    steady.host.config.unlink()
    assert steady.host.ctl("reload").status == 78
    assert before.difference(steady.host.look()) == []
    steady.host.write_config(steady.file())
    assert steady.host.ctl("reload").status == 0


def test_bad_file_at_sighup_changes_nothing_and_shows(steady):
    before = steady.host.look()
    steady.host.write_config(BAD["syntax"])
    steady.host.reload()
    poll(lambda: steady.host.ctl("status", "--json").json["file"]["state"] == "stale", 10, why="stale")
    assert before.difference(steady.host.look()) == []
    steady.host.write_config(steady.file())
    steady.host.reload()
    poll(lambda: steady.host.ctl("status", "--json").json["file"]["state"] == "ok", 10, why="ok")


def test_reload_of_the_same_file_writes_nothing(steady):
    with Writes(steady.host.ns) as writes:
        answer = steady.host.ctl("reload", "--json")
        assert answer.status == 0, answer
        assert answer.json["plan"]["changes"] == []
        assert writes.count() == {}


@pytest.mark.parametrize("bad", ["empty", "syntax", "unknown-key"])
def test_bad_file_at_start_leaves_what_the_last_good_one_asked_for(running, bad):
    campus = running(2)
    before = campus.host.look()
    campus.host.kill9()
    campus.host.write_config(BAD[bad])
    with Writes(campus.host.ns) as writes:
        campus.host.start_neod()
        campus.host.ready()
        state = campus.host.ctl("status", "--json").json["file"]
        assert state["state"] == "stale"
        assert state["problems"]
        assert writes.count() == {}
    assert before.difference(campus.host.look()) == []
    campus.host.ip("link", "del", "neo1")
    campus.wait_converged()


@pytest.mark.parametrize("bad", ["empty", "syntax", "unknown-key"])
def test_bad_file_at_the_first_start_exits_78(new_campus, bad):
    campus = new_campus(2, None)
    campus.host.write_config(BAD[bad])
    with Writes(campus.host.ns) as writes:
        neod = campus.host.start_neod()
        assert neod.process.wait(15) == 78
        assert str(campus.host.config) in neod.printed()
        assert "Traceback" not in neod.printed()
        assert writes.count() == {}


def test_validate_needs_no_daemon_and_exits_78(steady, tmp_path):
    bad = tmp_path / "bad.toml"
    bad.write_text(BAD["unknown-key"] + "[uplinks.ens4]\ntable = 254\n")
    answer = steady.host.ctl("validate", str(bad))
    assert answer.status == 78, answer
    said = answer.out + answer.err
    assert f"{bad}:5:" in said and "colour" in said
    assert "254" in said, "all errors at once"
    good = tmp_path / "good.toml"
    good.write_text(steady.file())
    assert steady.host.ctl("validate", str(good)).status == 0


def test_plan_of_another_file_changes_nothing(steady, tmp_path):
    other = tmp_path / "other.toml"
    other.write_text(steady.file(6))
    with Writes(steady.host.ns) as writes:
        answer = steady.host.ctl("plan", str(other), "--json")
        assert answer.status == 1, answer
        created = {row["object"] for row in answer.json["changes"] if row["op"] == "create"}
        assert {"link:neo5", "link:neo6"} <= created
        assert writes.count() == {}


def test_fewer_and_more_interfaces_leave_the_others_alone(running):
    campus = running(6)
    before = campus.host.look()
    campus.host.write_config(campus.file(4))
    assert campus.host.ctl("reload").status == 0
    fewer = campus.wait_converged(judge=campus.judge(campus.names(4)))
    kept = {link for link in before.links if link.name not in {"neo5", "neo6"}}
    assert kept <= fewer.links
    campus.host.write_config(campus.file(7))
    assert campus.host.ctl("reload").status == 0
    more = campus.wait_converged(judge=campus.judge(campus.names(7)))
    assert kept <= more.links
    assert {name: more.link(name).mac for name in ("neo5", "neo6")} == {
        name: before.link(name).mac for name in ("neo5", "neo6")
    }


def test_changed_key_changes_only_what_it_says(running):
    campus = running(3)
    before = campus.host.look()
    override = '[macvlans.neo.override.neo2]\nmac = "02:4e:65:6f:00:22"\n'
    campus.host.write_config(campus.file(more=override))
    assert campus.host.ctl("reload").status == 0
    after = campus.wait_converged()
    assert after.link("neo2").mac == "02:4e:65:6f:00:22"
    assert {link for link in before.links if link.name != "neo2"} <= after.links


def test_schema_needs_no_daemon(steady):
    answer = steady.host.ctl("schema")
    assert answer.status == 0
    assert answer.json["properties"]["macvlans"]
