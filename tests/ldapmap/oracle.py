"""The same messages as ldap3 and pyasn1 encode and decode them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ldap3.operation.abandon import abandon_operation
from ldap3.operation.bind import bind_operation
from ldap3.operation.extended import extended_operation
from ldap3.operation.search import compile_filter, parse_filter, search_operation
from ldap3.operation.unbind import unbind_operation
from ldap3.protocol import rfc4511
from ldap3.protocol.convert import build_controls_list
from ldap3.utils.asn1 import encode

PASSWORD_POLICY = "1.3.6.1.4.1.42.2.27.8.5.1"


def search_request(
    message_id: int, base: str, scope: str, condition: str, attributes: Sequence[str], size: int
) -> bytes:
    scopes = {"one": "LEVEL", "subtree": "SUBTREE", "base": "BASE"}
    request = search_operation(
        base, condition, scopes[scope], "NEVER", list(attributes), size, 0, False, auto_escape=False, auto_encode=False
    )
    return message(message_id, "searchRequest", request)


def filter_bytes(condition: str) -> bytes:
    node = parse_filter(condition, None, False, False, None, False).elements[0]
    encoded: bytes = encode(compile_filter(node))
    return encoded


def bind_request(message_id: int, dn: str, password: bytes) -> bytes:
    request = bind_operation(3, "SIMPLE", dn, "placeholder")
    request["authentication"] = rfc4511.AuthenticationChoice().setComponentByName("simple", rfc4511.Simple(password))
    return message(message_id, "bindRequest", request, [(PASSWORD_POLICY, False, None)])


def start_tls_request(message_id: int) -> bytes:
    return message(message_id, "extendedReq", extended_operation("1.3.6.1.4.1.1466.20037"))


def abandon_request(message_id: int, abandoned_id: int) -> bytes:
    return message(message_id, "abandonRequest", abandon_operation(abandoned_id))


def unbind_request(message_id: int) -> bytes:
    return message(message_id, "unbindRequest", unbind_operation())


def search_entry(message_id: int, dn: str, attributes: Mapping[str, Sequence[bytes]]) -> bytes:
    response = rfc4511.SearchResultEntry()
    response["object"] = rfc4511.LDAPDN(dn)
    listed = rfc4511.PartialAttributeList()
    for place, (name, values) in enumerate(attributes.items()):
        attribute = rfc4511.PartialAttribute()
        attribute["type"] = rfc4511.AttributeDescription(name)
        vals = rfc4511.Vals()
        for number, value in enumerate(values):
            vals.setComponentByPosition(number, rfc4511.AttributeValue(value))
        attribute["vals"] = vals
        listed.setComponentByPosition(place, attribute)
    response["attributes"] = listed
    return message(message_id, "searchResEntry", response)


def result(
    message_id: int,
    kind: str,
    code: int,
    diagnostic: str = "",
    referrals: Sequence[str] = (),
    controls: Sequence[tuple[str, bool, bytes]] = (),
) -> bytes:
    """kind: bindResponse, searchResDone or extendedResp."""
    types = {
        "bindResponse": rfc4511.BindResponse,
        "searchResDone": rfc4511.SearchResultDone,
        "extendedResp": rfc4511.ExtendedResponse,
    }
    response = types[kind]()
    response["resultCode"] = rfc4511.ResultCode(code)
    response["matchedDN"] = rfc4511.LDAPDN("")
    response["diagnosticMessage"] = rfc4511.LDAPString(diagnostic)
    if referrals:
        listed = rfc4511.Referral()
        for place, uri in enumerate(referrals):
            listed.setComponentByPosition(place, rfc4511.URI(uri))
        response["referral"] = listed
    return message(message_id, kind, response, controls)


def message(
    message_id: int, kind: str, operation: Any, controls: Sequence[tuple[str, bool, bytes | None]] = ()
) -> bytes:
    whole = rfc4511.LDAPMessage()
    whole["messageID"] = rfc4511.MessageID(message_id)
    whole["protocolOp"] = rfc4511.ProtocolOp().setComponentByName(kind, operation)
    if controls:
        # ldap3 would encode a control's value once more; it is given here as it goes over the wire
        listed = rfc4511.Controls()
        for place, (oid, critical, value) in enumerate(controls):
            listed.setComponentByPosition(place, _control(oid, critical, value))
        whole["controls"] = listed
    encoded: bytes = encode(whole)
    return encoded


def _control(oid: str, critical: bool, value: bytes | None) -> Any:
    if value is None:
        return build_controls_list([(oid, critical, None)]).getComponentByPosition(0)
    control = rfc4511.Control()
    control["controlType"] = rfc4511.LDAPOID(oid)
    control["criticality"] = rfc4511.Criticality(critical)
    control["controlValue"] = rfc4511.ControlValue(value)
    return control
