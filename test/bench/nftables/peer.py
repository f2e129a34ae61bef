"""The same loads with pyroute2, as Debian has it. Its commands send one object each; here its messages go in batches.

peer.py load verdicts|rules N      (into a table, chains and a map that are there)
peer.py read verdicts|rules N
peer.py replace verdicts|data N COUNT
peer.py flows N
"""

import socket
import struct
import sys
import time

from pyroute2.netlink import NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REQUEST
from pyroute2.netlink.nfnetlink import NFNL_SUBSYS_NFTABLES, nfgen_msg
from pyroute2.netlink.nfnetlink.nftsocket import (
    NFT_MSG_DELSETELEM,
    NFT_MSG_GETRULE,
    NFT_MSG_GETSETELEM,
    NFT_MSG_NEWRULE,
    NFT_MSG_NEWSETELEM,
    nft_rule_msg,
    nft_set_elem_list_msg,
)
from pyroute2.nftables.expressions import genex
from pyroute2.nftables.main import NFTables

CHAINS = 16
ELEMENTS_EACH = 500
MESSAGES_EACH = 100


def key(index):
    return struct.pack('>IHH', 10 << 24 | index, 80, 0)


def element(layout, index, value):
    if layout == 'verdicts':
        verdict = [['NFTA_VERDICT_CODE', -4], ['NFTA_VERDICT_CHAIN', 'svc%d' % value]]
        data = ['NFTA_DATA_VERDICT', {'attrs': verdict}]
    else:
        data = ['NFTA_DATA_VALUE', struct.pack('>II', value, 2 << 24)]
    return {
        'attrs': [
            ['NFTA_SET_ELEM_KEY', {'attrs': [['NFTA_DATA_VALUE', key(index)]]}],
            ['NFTA_SET_ELEM_DATA', {'attrs': [data]}],
        ]
    }


def value(data):
    return {'attrs': [('NFTA_DATA_VALUE', data)]}


def rule(index):
    accept = {'attrs': [('NFTA_DATA_VERDICT', {'attrs': [('NFTA_VERDICT_CODE', 1)]})]}
    return [
        genex('payload', {'dreg': 1, 'base': 1, 'offset': 12, 'len': 4}),
        genex('cmp', {'sreg': 1, 'op': 0, 'data': value(key(index)[:4])}),
        genex('meta', {'key': 16, 'dreg': 1}),
        genex('cmp', {'sreg': 1, 'op': 0, 'data': value(b'\x06')}),
        genex('payload', {'dreg': 1, 'base': 2, 'offset': 2, 'len': 2}),
        genex('cmp', {'sreg': 1, 'op': 0, 'data': value(b'\x00\x50')}),
        genex('counter', {'packets': 0, 'bytes': 0}),
        genex('immediate', {'dreg': 0, 'data': accept}),
    ]


def message(kind, number, attributes, flags=0):
    made = kind()
    made['header']['type'] = NFNL_SUBSYS_NFTABLES << 8 | number
    made['header']['flags'] = NLM_F_REQUEST | flags
    made['nfgen_family'] = socket.AF_INET
    made['attrs'] = attributes
    return made


def boundary(number):
    made = nfgen_msg()
    made['res_id'] = NFNL_SUBSYS_NFTABLES
    made['header']['type'] = number
    made['header']['flags'] = NLM_F_REQUEST
    return made


def commit(nft, messages):
    nft.nlm_request_batch([boundary(0x10)] + messages + [boundary(0x11)])


def elements_message(layout, number, elements, flags):
    attributes = [
        ['NFTA_SET_ELEM_LIST_TABLE', 'bench'],
        ['NFTA_SET_ELEM_LIST_SET', layout],
        ['NFTA_SET_ELEM_LIST_ELEMENTS', elements],
    ]
    return message(nft_set_elem_list_msg, number, attributes, flags)


def load(nft, layout, count):
    each = MESSAGES_EACH if layout == 'rules' else ELEMENTS_EACH
    for start in range(0, count, each):
        part = range(start, min(start + each, count))
        if layout == 'rules':
            flags = NLM_F_CREATE | NLM_F_APPEND
            place = [['NFTA_RULE_TABLE', 'bench'], ['NFTA_RULE_CHAIN', 'in']]
            messages = [
                message(nft_rule_msg, NFT_MSG_NEWRULE, place + [['NFTA_RULE_EXPRESSIONS', rule(index)]], flags)
                for index in part
            ]
            messages[-1]['header']['flags'] |= NLM_F_ACK
        else:
            elements = [element(layout, index, index % CHAINS) for index in part]
            messages = [elements_message(layout, NFT_MSG_NEWSETELEM, elements, NLM_F_CREATE | NLM_F_ACK)]
        commit(nft, messages)


def read(nft, layout, count):
    if layout == 'rules':
        found = len(nft.get_rules())
    else:
        parts = nft.nlm_request(
            elements_message(layout, NFT_MSG_GETSETELEM, [], 0),
            NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETSETELEM,
            NLM_F_REQUEST | NLM_F_DUMP,
        )
        found = sum(len(part.get_attr('NFTA_SET_ELEM_LIST_ELEMENTS')) for part in parts)
    if found != count:
        sys.exit('void: %d of %d' % (found, count))


def replace(nft, layout, size, count):
    took = []
    for step in range(count):
        index = step * 7919 % size
        start = time.perf_counter_ns()
        new = element(layout, index, (index + 1) % CHAINS)
        old = {'attrs': new['attrs'][:1]}
        commit(
            nft,
            [
                elements_message(layout, NFT_MSG_DELSETELEM, [old], 0),
                elements_message(layout, NFT_MSG_NEWSETELEM, [new], NLM_F_CREATE | NLM_F_ACK),
            ],
        )
        took.append(time.perf_counter_ns() - start)
    print('{"nanoseconds":%s}' % took)


def flows(count):
    from pyroute2 import NFCTSocket

    with NFCTSocket() as conntrack:
        found = len(tuple(conntrack.dump()))
    if found != count:
        sys.exit('void: %d of %d' % (found, count))


def main(what, *words):
    if what == 'flows':
        return flows(int(words[0]))
    layout, numbers = words[0], [int(word) for word in words[1:]]
    nft = NFTables(nfgen_family=socket.AF_INET)
    {'load': load, 'read': read, 'replace': replace}[what](nft, layout, *numbers)
    nft.close()


main(*sys.argv[1:])
