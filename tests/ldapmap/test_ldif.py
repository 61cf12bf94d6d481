"""LDIF content, as RFC 2849 has it."""

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldapmap.ldif import LdifFault, Record, read_ldif

RFC_EXAMPLE = b"""version: 1
dn: cn=Barbara Jensen, ou=Product Development, dc=airius, dc=com
objectclass: top
objectclass: person
cn: Barbara Jensen
cn: Babs Jensen
description:Babs is a big sailing fan, and travels extensively in sea
 rch of perfect sailing conditions.
title:Product Manager, Rod and Reel Division

# a comment that is
 folded

dn:: dWlkPcOpcmljLGRjPXg=
UID: eric
mail;lang-fr:: w6lyaWNAeA==
telephonenumber:
"""


def test_the_examples_of_the_rfc_are_read() -> None:
    first, second = read_ldif(RFC_EXAMPLE)
    assert first.line == 2
    assert first.dn == "cn=Barbara Jensen, ou=Product Development, dc=airius, dc=com"
    assert first.attributes[b"cn"] == [b"Barbara Jensen", b"Babs Jensen"]
    assert first.attributes[b"description"] == [
        b"Babs is a big sailing fan, and travels extensively in search of perfect sailing conditions."
    ]
    assert second == Record(
        14,
        "uid=éric,dc=x",
        {b"uid": [b"eric"], b"mail;lang-fr": ["éric@x".encode()], b"telephonenumber": [b""]},
    )


def test_line_ends_may_be_crlf() -> None:
    assert [*read_ldif(RFC_EXAMPLE.replace(b"\n", b"\r\n"))] == [*read_ldif(RFC_EXAMPLE)]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"version: 1\n", b"# nothing\n", b"version: 1\n\n# nothing"])
def test_content_may_be_empty(content: bytes) -> None:
    assert [*read_ldif(content)] == []


def test_the_version_may_stand_alone_and_the_last_line_end_be_missing() -> None:
    assert [*read_ldif(b"version: 1\n\n\ndn: dc=x\nuid: a")] == [Record(4, "dc=x", {b"uid": [b"a"]})]


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        (b" folded\n", 1, "continuation line follows nothing"),
        (b"dn: dc=x\n\n folded\n", 3, "continuation line follows nothing"),
        (b"version: 2\ndn: dc=x\n", 1, "version 1"),
        (b"uid: a\n", 1, "begins with its dn"),
        (b"dn: dc=x\nuid a\n", 2, "attribute: value"),
        (b"dn: dc=x\n: a\n", 2, "attribute: value"),
        (b"dn: dc=x\nuid:: ?\n", 2, "not base64"),
        (b"dn: dc=x\njpegPhoto:< file:///etc/passwd\n", 2, "URLs"),
        (b"dn: dc=x\nchangetype: delete\n", 2, "change records"),
        (b"dn: dc=x\ncontrol: 1.2.3 true\nchangetype: delete\n", 2, "change records"),
        (b"dn: dc=x\nuid: a\ndn: dc=y\n", 3, "second dn"),
        (b"dn:: /w==\n", 1, "not UTF-8"),
        (b"dn:\nuid: a\n", 1, "dn is empty"),
    ],
)
def test_what_is_not_ldif_is_refused_with_its_line(content: bytes, line: int, problem: str) -> None:
    with pytest.raises(LdifFault, match=problem) as fault:
        [*read_ldif(content)]
    assert fault.value.line == line
    assert str(fault.value).startswith(f"line {line}: ")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with contextlib.suppress(LdifFault):
        [*read_ldif(content)]


@given(
    st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9-]{0,9}", fullmatch=True).filter(
            lambda name: name not in ("dn", "changetype", "control")
        ),
        st.lists(st.binary(max_size=90), min_size=1, max_size=3),
    )
)
def test_what_is_written_in_base64_and_folded_is_read_back(attributes: dict[str, list[bytes]]) -> None:
    lines = [f"{name}:: {base64.b64encode(value).decode()}" for name, values in attributes.items() for value in values]
    folded = ["\n ".join(line[at : at + 20] for at in range(0, len(line), 20)) for line in ["dn: dc=x", *lines]]
    (record,) = read_ldif("\n".join(folded).encode())
    assert record.attributes == {name.encode(): values for name, values in attributes.items()}
