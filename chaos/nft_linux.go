package chaos

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// tableOwner is NFT_TABLE_F_OWNER of the kernel's
// include/uapi/linux/netfilter/nf_tables.h (5.12): the table vanishes with the
// socket that made it, and nobody else may change it.
const tableOwner = 2

// netfilter is a netlink socket that nft tables can belong to.
type netfilter struct {
	*nftables.Conn
	socket *netlink.Conn
}

func openNetfilter() (*netfilter, error) {
	n := &netfilter{}
	conn, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(socket *netlink.Conn) error {
		n.socket = socket
		return nil
	}))
	if err != nil {
		return nil, fmt.Errorf("open a netfilter socket: %w", err)
	}
	n.Conn = conn
	return n, n.bound()
}

// answerLimit is for an answer of the kernel, which comes at once.
const answerLimit = 5 * time.Second

// bound gives what follows answerLimit.
func (n *netfilter) bound() error { return n.socket.SetDeadline(time.Now().Add(answerLimit)) }

func (n *netfilter) close() error { return n.CloseLasting() }

// transact sends messages as one transaction and returns the kernel's answer to
// each: it commits all of them or none. What the library has no call for is sent
// this way.
func (n *netfilter) transact(messages ...netlink.Message) ([]error, error) {
	if err := n.bound(); err != nil {
		return nil, err
	}
	bracket := func(kind uint16) netlink.Message {
		return netlink.Message{
			Header: netlink.Header{Type: netlink.HeaderType(kind), Flags: netlink.Request},
			Data:   []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, unix.NFNL_SUBSYS_NFTABLES},
		}
	}
	batch := append([]netlink.Message{bracket(unix.NFNL_MSG_BATCH_BEGIN)}, messages...)
	if _, err := n.socket.SendMessages(append(batch, bracket(unix.NFNL_MSG_BATCH_END))); err != nil {
		return nil, err
	}
	answers := make([]error, 0, len(messages))
	for range messages {
		_, err := n.socket.Receive()
		if errors.Is(err, unix.EPERM) && len(answers) == 0 {
			return nil, err // the one answer to all of them
		}
		answers = append(answers, err)
	}
	return answers, nil
}

// change sends one message as a transaction.
func (n *netfilter) change(m netlink.Message) error {
	answers, err := n.transact(m)
	if err != nil {
		return err
	}
	return answers[0]
}

// tableMessage is about a table or, with a chain, about that.
func tableMessage(kind int, flags netlink.HeaderFlags, family nftables.TableFamily, attributes ...netlink.Attribute) netlink.Message {
	data, err := netlink.MarshalAttributes(attributes)
	if err != nil {
		data = nil // attributes of ours are short; the kernel refuses none at all
	}
	return netlink.Message{
		Header: netlink.Header{
			Type:  netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | kind),
			Flags: netlink.Request | netlink.Acknowledge | flags,
		},
		Data: append([]byte{byte(family), unix.NFNETLINK_V0, 0, 0}, data...),
	}
}

func textAttribute(kind uint16, text string) netlink.Attribute {
	return netlink.Attribute{Type: kind, Data: append([]byte(text), 0)}
}

func newOwnedTable(t *nftables.Table) netlink.Message {
	return tableMessage(unix.NFT_MSG_NEWTABLE, netlink.Create|netlink.Excl, t.Family,
		textAttribute(unix.NFTA_TABLE_NAME, t.Name),
		netlink.Attribute{Type: unix.NFTA_TABLE_FLAGS, Data: binaryutil.BigEndian.PutUint32(tableOwner)})
}

func delTable(t *nftables.Table, flags netlink.HeaderFlags) netlink.Message {
	return tableMessage(unix.NFT_MSG_DELTABLE, flags, t.Family, textAttribute(unix.NFTA_TABLE_NAME, t.Name))
}

// nonRecursive (NLM_F_NONREC) has the kernel refuse to delete what is not empty.
const nonRecursive netlink.HeaderFlags = unix.NLM_F_NONREC

func delEmptyChain(t *nftables.Table, chain string) netlink.Message {
	return tableMessage(unix.NFT_MSG_DELCHAIN, nonRecursive, t.Family,
		textAttribute(unix.NFTA_CHAIN_TABLE, t.Name), textAttribute(unix.NFTA_CHAIN_NAME, chain))
}

// tryNetfilter tells whether nft tables can be made, and owned, here. It sends a
// transaction that cannot succeed, so that no table is ever there.
func tryNetfilter() (owned bool, err error) {
	n, err := openNetfilter()
	if err != nil {
		return false, err
	}
	defer func() { _ = n.close() }()
	t := &nftables.Table{Name: tableName("trial"), Family: nftables.TableFamilyINet}
	never := &nftables.Table{Name: tableName("never"), Family: nftables.TableFamilyINet}
	answers, err := n.transact(newOwnedTable(t), delTable(never, 0))
	if err != nil {
		return false, err
	}
	switch {
	case answers[0] == nil:
		return true, nil
	case errors.Is(answers[0], unix.EINVAL), errors.Is(answers[0], unix.EOPNOTSUPP):
		return false, nil
	}
	return false, answers[0]
}

// tableName is the table of an entry; nft wants no dashes in names.
func tableName(id string) string { return "mslab_" + strings.ReplaceAll(id, "-", "_") }

// The names inside the table, and the lease of its rules where it has no owner.
const (
	nftChain   = "partition"
	nftSet     = "ports"
	nftLease   = 2 * time.Second
	nftRenewal = 500 * time.Millisecond
)

// cut is an nft table that drops packets.
type cut struct {
	*netfilter
	table *nftables.Table
	chain *nftables.Chain
	lease *lease // nil where the table has an owner
}

// nftables.Table of an entry.
func tableOf(id string) *nftables.Table {
	return &nftables.Table{Name: tableName(id), Family: nftables.TableFamilyINet}
}

// makeCut makes the table, which drops nothing yet.
func makeCut(id string, owned bool) (*cut, error) {
	n, err := openNetfilter()
	if err != nil {
		return nil, err
	}
	c := &cut{netfilter: n, table: tableOf(id)}
	if owned {
		err = n.change(newOwnedTable(c.table))
	} else {
		n.CreateTable(c.table)
		err = n.Flush()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("add the nft table %s: %w", c.table.Name, err), n.close())
	}
	return c, nil
}

// drop adds chain and rules in one transaction.
func (c *cut) drop(s Spec) error {
	if err := c.bound(); err != nil {
		return err
	}
	accept := nftables.ChainPolicyAccept
	c.chain = c.AddChain(&nftables.Chain{
		Name: nftChain, Table: c.table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityRaw, Policy: &accept,
	})
	port := binaryutil.BigEndian.PutUint16(uint16(s.Target.Port))
	var set *nftables.Set
	if c.lease != nil {
		set = c.lease.set
		if err := c.AddSet(set, c.lease.elements); err != nil {
			return err
		}
	}
	for _, f := range flows(s) {
		c.AddRule(&nftables.Rule{Table: c.table, Chain: c.chain, Exprs: dropRule(s.Target.Address, port, f, set)})
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("add the rules of the nft table %s: %w", c.table.Name, err)
	}
	return nil
}

// dropRule is a rule of a chain at the input hook: iifname lo, the address if
// there is one, tcp dport or sport, counter, drop.
func dropRule(address netip.Addr, port []byte, f flow, set *nftables.Set) []expr.Any {
	const register = 1
	equal := func(data []byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: data} }
	var rule []expr.Any
	if !address.IsValid() || address.IsLoopback() {
		name := make([]byte, unix.IFNAMSIZ)
		copy(name, "lo")
		rule = append(rule, &expr.Meta{Key: expr.MetaKeyIIFNAME, Register: register}, equal(name))
	}
	if address.IsValid() {
		family, at, size := byte(unix.NFPROTO_IPV4), uint32(12), uint32(4) // RFC 791: source, then destination
		if address.Is6() {
			family, at, size = unix.NFPROTO_IPV6, 8, 16 // RFC 8200
		}
		if f.toPort {
			at += size
		}
		rule = append(rule,
			&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: register}, equal([]byte{family}),
			&expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: at, Len: size}, equal(address.AsSlice()))
	}
	at := uint32(0) // RFC 9293: source port, then destination port
	if f.toPort {
		at = 2
	}
	rule = append(rule,
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: register}, equal([]byte{unix.IPPROTO_TCP}),
		&expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: at, Len: 2})
	if set != nil {
		rule = append(rule, &expr.Lookup{SourceRegister: register, SetName: set.Name, SetID: set.ID})
	} else {
		rule = append(rule, equal(port))
	}
	return append(rule, &expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop})
}

// dropped is how many packets the rules have dropped. Anybody may read a table,
// so that it need not wait for the socket of the owner.
func (c *cut) dropped() (uint64, error) {
	n, err := openNetfilter()
	if err != nil {
		return 0, err
	}
	defer func() { _ = n.close() }()
	rules, err := n.GetRules(c.table, c.chain)
	if err != nil {
		return 0, fmt.Errorf("read the counters of the nft table %s: %w", c.table.Name, err)
	}
	var packets uint64
	for _, r := range rules {
		for _, e := range r.Exprs {
			if counter, ok := e.(*expr.Counter); ok {
				packets += counter.Packets
			}
		}
	}
	return packets, nil
}

// goneLimit is what the kernel gets to remove a table whose owner is gone.
const goneLimit = 2 * time.Second

// removeTable deletes the entry's table. Where a socket owns it nobody else may:
// then it waits until the kernel has removed it with that socket.
func (n *netfilter) removeTable(id string) error {
	t := tableOf(id)
	for limit := time.Now().Add(goneLimit); ; time.Sleep(time.Millisecond) {
		err := n.change(delTable(t, 0))
		switch {
		case err == nil, errors.Is(err, unix.ENOENT):
			return nil
		case !errors.Is(err, unix.EPERM) || time.Now().After(limit):
			return fmt.Errorf("delete the nft table %s: %w", t.Name, err)
		}
	}
}

// deleteMarked deletes the rules of the table filter that bear a mark, and
// returns how many there were.
func deleteMarked(family nftables.TableFamily, mark string) (deleted int, err error) {
	n, err := openNetfilter()
	if err != nil {
		return 0, err
	}
	defer func() { _ = n.close() }()
	table := textAttribute(unix.NFTA_RULE_TABLE, "filter")
	list := tableMessage(unix.NFT_MSG_GETRULE, netlink.Dump, family, table)
	list.Header.Flags &^= netlink.Acknowledge
	rules, err := n.socket.Execute(list)
	if errors.Is(err, unix.ENOENT) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("list the rules of the table filter: %w", err)
	}
	for _, r := range rules {
		const header = 4 // struct nfgenmsg
		if len(r.Data) < header || !bytes.Contains(r.Data, append([]byte(mark), 0)) {
			continue
		}
		attributes, err := netlink.UnmarshalAttributes(r.Data[header:])
		if err != nil {
			return deleted, fmt.Errorf("read a rule of the table filter: %w", err)
		}
		which := []netlink.Attribute{table}
		for _, a := range attributes {
			if a.Type == unix.NFTA_RULE_CHAIN || a.Type == unix.NFTA_RULE_HANDLE {
				which = append(which, netlink.Attribute{Type: a.Type, Data: a.Data})
			}
		}
		if err := n.change(tableMessage(unix.NFT_MSG_DELRULE, 0, family, which...)); err != nil && !errors.Is(err, unix.ENOENT) {
			return deleted, fmt.Errorf("delete a rule of the table filter: %w", err)
		}
		deleted++
	}
	return deleted, nil
}
