package doctor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// addOwnedTable asks the kernel by netlink for a table that vanishes with the
// socket that made it (flag owner, Linux 5.12): what a partition is made of.
func addOwnedTable(context.Context) (string, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return "", fmt.Errorf("open a netfilter socket: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	wait := unix.NsecToTimeval(int64(limitEach / 4))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		return "", fmt.Errorf("bound the wait for an answer: %w", err)
	}
	if err := changeTable(fd, unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, tableOwner); err != nil {
		return "", fmt.Errorf("add a table with the flag owner: %w", err)
	}
	if err := changeTable(fd, unix.NFT_MSG_DELTABLE, 0, 0); err != nil {
		return "", fmt.Errorf("delete the table: %w", err)
	}
	return "the kernel added and deleted a table with the flag owner", nil
}

// tableOwner is NFT_TABLE_F_OWNER of the kernel's
// include/uapi/linux/netfilter/nf_tables.h.
const tableOwner = 2

// Sequence numbers of a batch, by which answers are told apart.
const (
	seqBegin = iota + 1
	seqChange
	seqEnd
)

// changeTable sends one message about the table in a batch of its own, and waits
// for the answer.
func changeTable(fd int, message uint16, flags uint16, tableFlags uint32) error {
	attributes := netlinkAttribute(unix.NFTA_TABLE_NAME, append([]byte(ownTable), 0))
	if tableFlags != 0 {
		attributes = append(attributes, netlinkAttribute(unix.NFTA_TABLE_FLAGS, binary.BigEndian.AppendUint32(nil, tableFlags))...)
	}
	const request = unix.NLM_F_REQUEST
	batch := netfilterMessage(unix.NFNL_MSG_BATCH_BEGIN, request, seqBegin, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES, nil)
	batch = append(batch, netfilterMessage(unix.NFNL_SUBSYS_NFTABLES<<8|message, request|unix.NLM_F_ACK|flags, seqChange, unix.NFPROTO_INET, 0, attributes)...)
	batch = append(batch, netfilterMessage(unix.NFNL_MSG_BATCH_END, request, seqEnd, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES, nil)...)
	if err := unix.Sendto(fd, batch, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	return awaitAnswer(fd)
}

// awaitAnswer reads until the change is answered, or any part of the batch is
// refused.
func awaitAnswer(fd int) error {
	buf := make([]byte, 4096)
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return errors.New("the kernel did not answer")
		case err != nil:
			return err
		}
		// A struct nlmsghdr, then in an answer the negative error.
		for left := buf[:n]; len(left) >= unix.SizeofNlMsghdr+4; {
			size := int(binary.NativeEndian.Uint32(left))
			if size < unix.SizeofNlMsghdr+4 || size > len(left) {
				return errors.New("the kernel's answer is cut short")
			}
			if binary.NativeEndian.Uint16(left[4:]) == unix.NLMSG_ERROR {
				code := int32(binary.NativeEndian.Uint32(left[unix.SizeofNlMsghdr:]))
				if code != 0 {
					return unix.Errno(-code)
				}
				if binary.NativeEndian.Uint32(left[8:]) == seqChange {
					return nil
				}
			}
			left = left[min(len(left), align4(size)):]
		}
	}
}

// netfilterMessage is a struct nlmsghdr, a struct nfgenmsg and attributes.
func netfilterMessage(kind, flags uint16, sequence uint32, family uint8, resource uint16, attributes []byte) []byte {
	m := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+4+len(attributes)))
	m = binary.NativeEndian.AppendUint16(m, kind)
	m = binary.NativeEndian.AppendUint16(m, flags)
	m = binary.NativeEndian.AppendUint32(m, sequence)
	m = binary.NativeEndian.AppendUint32(m, 0) // the kernel fills in the port
	m = append(m, family, unix.NFNETLINK_V0)
	m = binary.BigEndian.AppendUint16(m, resource)
	return append(m, attributes...)
}

// netlinkAttribute is a struct nlattr, its value, and padding.
func netlinkAttribute(kind uint16, value []byte) []byte {
	const header = 4
	a := binary.NativeEndian.AppendUint16(nil, uint16(header+len(value)))
	a = binary.NativeEndian.AppendUint16(a, kind)
	a = append(a, value...)
	return append(a, make([]byte, align4(len(a))-len(a))...)
}

func align4(n int) int { return (n + 3) &^ 3 }
