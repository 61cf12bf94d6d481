"""The rules over several sections of the configuration file."""

from __future__ import annotations

import pytest

from tests.proxy.example import SMALLEST, faults_of, good_settings


def changed(old: str, new: str) -> str:
    assert old in SMALLEST
    return SMALLEST.replace(old, new)


CERTIFICATE = '[[certificate]]\nchain = "mail.pem"\nkey = "mail.key"\n'


def test_the_smallest_configuration_is_complete() -> None:
    settings = good_settings()
    assert settings.protocols == ("imap",)
    assert [backend.name for backend in settings.backends] == ["mb1a"]
    assert settings.limits.line == 8192
    assert settings.file is None


def test_an_empty_file_is_told_what_every_configuration_needs() -> None:
    assert [message.split(":")[0] for message in faults_of("")] == ["listener", "directory"]


def test_shards_are_in_the_file_or_in_the_directory() -> None:
    text = SMALLEST[: SMALLEST.index("[[shard]]")]
    missing = "shard: missing; add a [[shard]] with the servers, or name their entries in [directory.shards]"
    assert faults_of(text) == [missing]
    ldap = '[directory]\nkind = "ldap"\nservers = ["ldaps://192.0.2.1"]\nbase = "o=x"\n'
    in_directory = ldap + 'mirror = true\n[directory.shards]\nbase = "ou=shards"\n'
    assert good_settings(text.replace('[directory]\nkind = "ldif"\nfile = "users.ldif"\n', in_directory)).shard == ()
    assert faults_of(text.replace('[directory]\nkind = "ldif"\nfile = "users.ldif"\n', ldap)) == [missing]


def test_tls_needs_a_certificate() -> None:
    assert faults_of(changed(CERTIFICATE, "")) == [
        'listener[0].tls: "implicit" needs a [[certificate]] with chain and key; add it'
    ]
    assert faults_of(changed(CERTIFICATE, "").replace(":0", ':0"\ntls = "off"\nplaintext_auth = true\n#')) == []


MASTER = '[backend_login]\nmode = "master"\nmaster_user = "m"\nmaster_password_file = "f"\n'


def test_external_needs_client_certificates_and_another_way_into_the_backend() -> None:
    external = '[auth]\nmechanisms = ["PLAIN", "EXTERNAL"]\n'
    assert [message.partition(";")[0] for message in faults_of(SMALLEST + external)] == [
        "auth.mechanisms: EXTERNAL needs client certificates",
        "auth.mechanisms: EXTERNAL brings no password for the backend",
    ]
    assert faults_of(changed(":0", ':0"\nclient_ca = "ca.pem"\n#') + external + MASTER) == []


@pytest.mark.parametrize("mode", ["", MASTER])
@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
def test_a_token_goes_to_the_backend_that_judges_it_in_either_mode(mechanism: str, mode: str) -> None:
    assert faults_of(SMALLEST + f'[auth]\nmechanisms = ["{mechanism}"]\n' + mode) == []


def test_a_probe_logs_in_as_users_do() -> None:
    login = '[director.health]\nprobe = "login"\nprobe_user = "probe"\n'
    password = 'probe_password_file = "f"\n'
    key = "director.health.probe_password_file: "
    assert faults_of(SMALLEST + login + password) == faults_of(SMALLEST + MASTER + login) == []
    assert faults_of(SMALLEST + login) == [
        key + 'missing; probe = "login" needs the file with the password of probe_user'
    ]
    assert faults_of(SMALLEST + MASTER + login + password) == [
        key + "the master user of [backend_login] logs in for probe_user; remove it"
    ]
    assert faults_of(SMALLEST + "[director.health]\n" + password) == [
        key + 'there is a password that no probe would use; set probe = "login", or remove it'
    ]
    assert faults_of(SMALLEST + '[director.health]\nprobe = "login"\n' + password) == [
        'director.health.probe_user: is missing; the probe "login" needs somebody who may log in'
    ]


def test_a_password_that_nobody_judges_never_meets_a_master_user() -> None:
    passed = changed("[directory]\n", '[directory]\nauth = "passthrough"\n')
    domain = '[[directory.domain]]\nnames = ["old.example"]\nauth = "passthrough"\n'
    assert faults_of(passed + domain) == []
    assert [message.partition(";")[0] for message in faults_of(passed + domain + MASTER)] == [
        'directory.auth: "passthrough" with a master user would let anybody in',
        'directory.domain[0].auth: "passthrough" with a master user would let anybody in',
    ]


def test_names_are_not_used_twice() -> None:
    listener = '[[listener]]\nprotocol = "pop3"\naddress = "127.0.0.1:143"\n'
    backends = '[[shard.backend]]\nname = "mb2"\nhost = "x"\n[[shard.backend]]\nname = "MB1A."\nhost = "y"\n'
    shard = '[[shard]]\nname = "S1"\n' + backends
    assert faults_of(changed(":0", ":143") + listener + shard) == [
        "listener[1].address: 127.0.0.1:143 is that of listener[0]; take another",
        "shard[1].name: 'S1' is taken; give every shard a name of its own",
        "shard[1].backend[1].name: 'MB1A.' stands for another shard; give every backend a name of its own",
    ]


def test_any_number_of_listeners_may_take_whatever_port_is_free() -> None:
    assert faults_of(SMALLEST + '[[listener]]\nprotocol = "imap"\naddress = "127.0.0.1:0"\n') == []


@pytest.mark.parametrize(
    ("listening", "host", "loops"),
    [
        ("127.0.0.1:143", "127.0.0.1", True),
        ("127.0.0.1:143", "localhost", True),
        ("0.0.0.0:143", "127.0.0.1", True),
        ("[::]:143", "127.0.0.1", True),
        ("[::]:143", "::1", True),
        ("0.0.0.0:143", "::1", False),
        ("127.0.0.1:144", "127.0.0.1", False),
        ("127.0.0.1:143", "127.0.0.2", False),
        ("192.0.2.1:143", "192.0.2.1", True),
        ("[::]:143", "192.0.2.1", False),
        ("[::]:143", "mb1a.example.org", False),
    ],
)
def test_a_backend_that_is_ourselves_is_a_loop(listening: str, host: str, loops: bool) -> None:
    messages = faults_of(changed("127.0.0.1:0", listening).replace("mb1a.example.org", host))
    assert bool(messages) == loops
    assert all(
        message.startswith(f"shard[0].backend[0].host: {host} port 143 (imap) is our own") for message in messages
    )


def test_a_backends_port_is_its_own_or_the_protocols_for_the_tls_mode() -> None:
    settings = good_settings()
    assert settings.backend_port({"pop3": 1110}, "pop3") == 1110
    assert settings.backend_port({}, "imap") == 143
    implicit = good_settings(SMALLEST + '[backend_login]\ntls = "implicit"\n')
    assert [implicit.backend_port({}, protocol) for protocol in ("imap", "pop3", "managesieve")] == [993, 995, 4190]
