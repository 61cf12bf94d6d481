from __future__ import annotations

import os
from pathlib import Path
from unittest.mock import patch

from loadtest.scale import census as module
from loadtest.scale.census import NAMES, census, descriptors, gauges, kernel_memory
from loadtest.vestibule import Daemon

SLABS = """\
slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>
TCP                  100    143   2368   13    8 : tunables    0    0    0 : slabdata     11     11      0
TCPv6                100    143   2368   13    8 : tunables    0    0    0 : slabdata     11     11      0
sock_inode_cache      10    228    832   19    4 : tunables    0    0    0 : slabdata     12     12      0
dentry            244297 256053    192   21    1 : tunables    0    0    0 : slabdata  12193  12193      0
"""


def this_process() -> Daemon:
    """Ourselves as if we were the daemon."""
    nowhere = Path("/nothing")
    return Daemon(os.getpid(), {}, "", None, "http://nobody", nowhere, nowhere, nowhere)  # type: ignore[arg-type]


def test_the_kernels_memory_is_what_sockets_need_with_their_names(tmp_path: Path) -> None:
    path = tmp_path / "slabinfo"
    path.write_text(SLABS)
    page = os.sysconf("SC_PAGE_SIZE")
    assert kernel_memory(path) == 100 * (8 * page // 13) + 10 * (4 * page // 19 + NAMES)


def test_who_may_not_know_the_kernels_memory_is_told_nothing(tmp_path: Path) -> None:
    assert kernel_memory(tmp_path / "nothing") is None


def test_a_census_sees_memory_and_descriptors() -> None:
    taken = census(this_process())
    assert min(taken.pss, taken.most) > 0
    assert taken.all_together >= taken.most


def test_a_process_that_is_gone_has_no_descriptors() -> None:
    assert descriptors(2**22 + 1) == 0


def test_gauges_are_added_up_over_their_labels() -> None:
    page = {
        'vestibule_sessions{protocol="imap",tls="implicit"}': 3.0,
        'vestibule_sessions{protocol="pop3",tls="implicit"}': 1.0,
        'vestibule_director_sessions{backend="s1a"}': 2.0,
        "vestibule_director_nodes": 1.0,
    }
    with patch.object(module, "counters", return_value=page):
        assert gauges(this_process()) == {
            "vestibule_sessions": 4.0,
            "vestibule_director_sessions": 2.0,
            "vestibule_director_users": 0.0,
        }
