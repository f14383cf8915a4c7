"""Derivations against values of a live 1.14.1."""

from lab.standin.zerotier_one_standin import derive

NETWORK, CLIENT, GATEWAY = 0x116BE780B4870839, 0x54F03B7F83, 0x116BE780B4


def test_known_values() -> None:
    assert derive.interface_name(NETWORK) == "ztshpwbcen"
    assert derive.mac_text(derive.mac(NETWORK, CLIENT)) == "3a:5c:77:8f:ff:64"
    assert derive.mac_text(derive.mac(NETWORK, GATEWAY)) == "3a:19:ec:53:00:53"
    assert str(derive.rfc4193(NETWORK, CLIENT)) == "fd11:6be7:80b4:8708:3999:9354:f03b:7f83/88"


def test_an_interface_name_that_is_taken_counts_on() -> None:
    assert derive.interface_name(NETWORK, 1) == "ztshpwbceo"


def test_the_first_octet_that_others_use_is_replaced() -> None:
    assert derive.mac(0x8056C2E21C000052, CLIENT)[0] == 0x32


def test_a_mac_says_whose_it_is() -> None:
    assert derive.node_of_mac(NETWORK, derive.mac(NETWORK, CLIENT)) == CLIENT
    assert derive.node_of_mac(NETWORK, bytes.fromhex("525400000001")) is None


def test_an_emulated_address_says_whose_it_is() -> None:
    for address in (derive.rfc4193(NETWORK, CLIENT), derive.sixplane(NETWORK, CLIENT)):
        assert derive.emulated_node(NETWORK, address.ip.packed) == CLIENT
        assert derive.emulated_node(NETWORK + 1, address.ip.packed) is None
