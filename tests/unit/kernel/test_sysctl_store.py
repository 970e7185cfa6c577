"""The values to restore, on disk."""

from neod.kernel.files import StateFile
from neod.kernel.sysctls import ProcSysctls


def test_a_file_that_cannot_be_used_is_set_aside_and_not_written_over(tmp_path):
    store = tmp_path / "sysctls.json"
    store.write_text("{ broken")
    sysctls = ProcSysctls(StateFile(store), "this boot")
    assert sysctls.originals() == {}
    sysctls.remember({"net/ipv4/ip_forward": "0"})
    assert (tmp_path / "sysctls.json.bad").read_text() == "{ broken"
    assert ProcSysctls(StateFile(store), "this boot").originals() == {"net/ipv4/ip_forward": "0"}
    assert ProcSysctls(StateFile(store), "another boot").originals() == {}
