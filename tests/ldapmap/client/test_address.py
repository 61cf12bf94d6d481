"""Server URLs."""

import pytest

from ldapmap.client.address import Address, parse_address


@pytest.mark.parametrize(
    ("url", "address", "shown"),
    [
        ("ldap://ldap.example", Address("ldap", "ldap.example", 389), "ldap://ldap.example:389"),
        ("LDAPS://Ldap.Example:1636/", Address("ldaps", "ldap.example", 1636), "ldaps://ldap.example:1636"),
        ("ldaps://127.0.0.1", Address("ldaps", "127.0.0.1", 636), "ldaps://127.0.0.1:636"),
        ("ldap://[::1]:3389", Address("ldap", "::1", 3389), "ldap://[::1]:3389"),
        ("ldapi://%2Frun%2Fslapd%2Fldapi", Address("ldapi", path="/run/slapd/ldapi"), "ldapi:///run/slapd/ldapi"),
        ("ldapi://%2FTmp%2FX/", Address("ldapi", path="/Tmp/X"), "ldapi:///Tmp/X"),
    ],
)
def test_a_url_is_read_with_its_default_port(url: str, address: Address, shown: str) -> None:
    assert parse_address(url) == address
    assert str(address) == shown


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("", "write ldap://host, ldaps://host or ldapi://"),
        ("ldap.example", "only scheme, host and port"),
        ("http://ldap.example", "write ldap://host, ldaps://host or ldapi://"),
        ("ldap://", "a host name or address is missing"),
        ("ldap://a..b", "a host name or address is missing or malformed"),
        ("ldap://host:99999", "not a URL"),
        ("ldap://[::1", "not a URL"),
        ("ldap://host/dc=example", "only scheme, host and port"),
        ("ldap://host?uid", "only scheme, host and port"),
        ("ldap://host#x", "only scheme, host and port"),
        ("ldap://cn=admin@host", "only scheme, host and port"),
        ("ldapi://", "absolute path"),
        ("ldapi://run", "absolute path"),
    ],
)
def test_anything_else_is_refused_with_a_remedy(url: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        parse_address(url)


@pytest.mark.parametrize(
    ("url", "is_in_clear"),
    [
        ("ldap://ldap.example", True),
        ("ldap://192.0.2.1", True),
        ("ldap://127.0.0.1", False),
        ("ldap://[::1]", False),
        ("ldap://localhost", False),
        ("ldaps://ldap.example", False),
        ("ldapi://%2Frun%2Fldapi", False),
    ],
)
def test_what_crosses_the_network_in_clear_is_known(url: str, is_in_clear: bool) -> None:
    assert parse_address(url).is_in_clear == is_in_clear
