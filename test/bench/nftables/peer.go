// The same loads with github.com/google/nftables, as Debian has it.
//
//	peer load verdicts|rules N
//	peer read verdicts|rules N
//	peer replace verdicts|data N COUNT
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

const chains = 16

// A message's list of elements must stay below 65,536 bytes, and a batch below the socket's send buffer.
const elementsEach = 1000
const listsEach = 3

// Every rule is acknowledged, and told once more: more of them do not fit the socket's receive buffer.
const messagesEach = 100

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func key(index int) []byte {
	return []byte{10, byte(index >> 16), byte(index >> 8), byte(index), 0, 80, 0, 0}
}

func verdict(index int) nftables.SetElement {
	return nftables.SetElement{
		Key:         key(index),
		VerdictData: &expr.Verdict{Kind: expr.VerdictGoto, Chain: fmt.Sprintf("svc%d", index%chains)},
	}
}

func rule(index int) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 4},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: key(index)[:4]},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{6}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{0, 80}},
		&expr.Counter{},
		&expr.Verdict{Kind: expr.VerdictAccept},
	}
}

func load(conn *nftables.Conn, layout string, count int) {
	table := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "bench"})
	for index := 0; index < chains; index++ {
		conn.AddChain(&nftables.Chain{Name: fmt.Sprintf("svc%d", index), Table: table})
	}
	in := conn.AddChain(&nftables.Chain{
		Name: "in", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityFilter,
	})
	if layout == "rules" {
		for index := 0; index < count; index++ {
			conn.AddRule(&nftables.Rule{Table: table, Chain: in, Exprs: rule(index)})
			if index%messagesEach == messagesEach-1 {
				must(conn.Flush())
			}
		}
		must(conn.Flush())
		return
	}
	set := &nftables.Set{
		Table: table, Name: "verdicts", IsMap: true,
		KeyType:  nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService),
		DataType: nftables.TypeVerdict,
	}
	must(conn.AddSet(set, nil))
	for from := 0; from < count; from += elementsEach {
		elements := []nftables.SetElement{}
		for index := from; index < from+elementsEach && index < count; index++ {
			elements = append(elements, verdict(index))
		}
		must(conn.SetAddElements(set, elements))
		if from/elementsEach%listsEach == 0 {
			must(conn.Flush())
		}
	}
	conn.AddRule(&nftables.Rule{Table: table, Chain: in, Exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{6}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4},
		&expr.Payload{DestRegister: 9, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Lookup{SourceRegister: 1, DestRegister: 0, IsDestRegSet: true, SetName: "verdicts"},
	}})
	must(conn.Flush())
}

func read(conn *nftables.Conn, layout string, count int) {
	table := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: "bench"}
	found := 0
	if layout == "rules" {
		rules, err := conn.GetRules(table, &nftables.Chain{Name: "in", Table: table})
		must(err)
		found = len(rules)
	} else {
		set, err := conn.GetSetByName(table, layout)
		must(err)
		elements, err := conn.GetSetElements(set)
		must(err)
		found = len(elements)
	}
	if found != count {
		must(fmt.Errorf("void: %d of %d", found, count))
	}
}

func replace(conn *nftables.Conn, layout string, size int, count int) {
	table := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: "bench"}
	set := &nftables.Set{Table: table, Name: layout, IsMap: true}
	fmt.Print(`{"nanoseconds":[`)
	for step := 0; step < count; step++ {
		index := step * 7919 % size
		start := time.Now()
		element := nftables.SetElement{Key: key(index), Val: []byte{0, 0, 0, byte(step), 2, 0, 0, 0}}
		if layout == "verdicts" {
			element = verdict(index + 1)
			element.Key = key(index)
		}
		must(conn.SetDeleteElements(set, []nftables.SetElement{{Key: element.Key}}))
		must(conn.SetAddElements(set, []nftables.SetElement{element}))
		must(conn.Flush())
		if step > 0 {
			fmt.Print(",")
		}
		fmt.Print(time.Since(start).Nanoseconds())
	}
	fmt.Println(`]}`)
}

func main() {
	what, layout := os.Args[1], os.Args[2]
	size, err := strconv.Atoi(os.Args[3])
	must(err)
	options := []nftables.ConnOption{}
	if what == "replace" {
		// Of a load it would fill up with what was told and not received.
		options = append(options, nftables.AsLasting())
	}
	conn, err := nftables.New(options...)
	must(err)
	switch what {
	case "load":
		load(conn, layout, size)
	case "read":
		read(conn, layout, size)
	case "replace":
		count, err := strconv.Atoi(os.Args[4])
		must(err)
		replace(conn, layout, size, count)
	}
	must(conn.CloseLasting())
}
