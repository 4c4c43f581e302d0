/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What the XDP program and the controller both know: the layouts of map keys and values,
 * and the reasons for what happens to a packet.
 *
 * Two readers: clang and cffi. Hence only integer #defines, enums and plain structs, no
 * #include, no attributes. Padding is named and zero: maps compare keys byte by byte.
 * A change of anything here is a change of GW_ABI_VERSION.
 */

#define GW_ABI_VERSION 7

/* Entries of `ports` and `transmit_ports`; an interface sits at ifindex % GW_PORTS. */
#define GW_PORTS 256

/* VLANs that the host has interfaces for. */
#define GW_VLANS 4096

/* MACs besides the interfaces' own: 255 virtual routers of each family, and then some. */
#define GW_STATIONS 1024

/* `direct` prefixes, the node's own addresses included. */
#define GW_DIRECT_PREFIXES 4096

/* Fragmented datagrams that are remembered at a time, for at most so long. */
#define GW_FRAGMENTS 16384
#define GW_FRAGMENT_SECONDS 30

/* Bits of `gates`; an address has one of them. */
#define GW_GATES 65536

/* A flow of `replies` is forgotten when it was silent for so long. */
#define GW_REPLY_SECONDS 900

/* Entries of `ways` on each CPU. */
#define GW_WAYS 4096

/* Entries of `handshakes`, a power of two: so many connections may be opening at a time. */
#define GW_HANDSHAKES 8192

/* The kernel is asked again after so many of its ticks: 25 to 250 ms, by its CONFIG_HZ. */
#define GW_WAY_TICKS 25

/* How far from its place in `directory` an endpoint may stand. */
#define GW_DIRECTORY_REACH 8

/* An endpoint's hash is built with these; arbitrary, and the same for every cluster. */
#define GW_HASH_FIRST 0x7f4a7c159e3779b9
#define GW_HASH_SECOND 0xb5297a4d68e31da5
#define GW_HASH_THIRD 0x1b56c4e993d765df
#define GW_HASH_FOURTH 0xc2b2ae3d27d4eb4f
#define GW_HASH_FIFTH 0x85ebca77c2b2ae63

/* In a slot's `before_id`: nobody had it before who could serve, but there are records. */
#define GW_RECORDS_ONLY 0xffffffff

/* Index 0 of `backends` is nobody: a slot that nobody serves holds it. */
#define GW_NO_BACKEND_ID 0

/*
 * Why a packet left the program; one counter each. The comment is read by the controller:
 * "verdict: meaning for the operator".
 */
enum gw_reason {
	GW_NOT_OURS,         /* pass: belongs to no service; left to the host untouched */
	GW_FORWARDED_DR,     /* forward: sent to a backend, MAC rewritten */
	GW_FORWARDED_NAT,    /* forward: sent to a backend, address and port rewritten */
	GW_REPLIED_NAT,      /* forward: a backend's reply, sent to the client as the VIP's */
	GW_REPLIED_BY_HOST,  /* pass: a reply, translated, that the host's stack routes on: its next hop was unknown */
	GW_REPLY_DIRECT,     /* pass: from a NAT backend to this node or to a direct prefix; not translated */
	GW_REPLY_UNKNOWN,    /* pass: from a NAT backend with tracked returns, of a flow that we did not forward; not translated */
	GW_ICMP_ANSWERED,    /* forward: an echo request to a VIP, answered here */
	GW_ICMP_FORWARDED,   /* forward: an ICMP error, sent to the backend of the flow that it is about */
	GW_ICMP_REPLIED,     /* forward: an ICMP error about a NAT flow, translated and sent to the client */
	GW_ICMP_PASSED,      /* pass: other ICMP to a VIP */
	GW_OTHER_STATION,    /* pass: to a service, but the frame is addressed to another MAC */
	GW_NO_BACKEND,       /* drop: the service has no backend that can serve */
	GW_MALFORMED,        /* drop: to a VIP, but cut short or with impossible lengths */
	GW_MARTIAN,          /* drop: to a service, from an address that cannot be a client's */
	GW_HAIRPIN,          /* drop: a NAT backend's own packet to a VIP came back to it; it cannot be its own client */
	GW_FRAGMENT,         /* drop: to a VIP, a fragment of a datagram whose first fragment was not seen */
	GW_TTL_EXCEEDED,     /* drop: the time to live ended here */
	GW_FOREIGN_VLAN,     /* drop: bound for another VLAN, and this host has no interface in the one that it is from */
	GW_NO_HEADROOM,      /* drop: it needs one more VLAN tag, and the driver leaves no room for that */
	GW_PORT_GONE,        /* drop: the interface to send by is not among ours any more */
	GW_REASON_COUNT      /* not a reason */
};

enum gw_mode {
	GW_MODE_DR = 1,
	GW_MODE_NAT = 2
};

/* When a service's flows are recorded, so that they keep their backend. */
enum gw_affinity {
	GW_AFFINITY_NONE,       /* never: a slot that changes hands takes its flows along */
	GW_AFFINITY_TRANSITION, /* while their slot is changing hands */
	GW_AFFINITY_ALWAYS      /* always: the classic connection table */
};

/* What of a packet is hashed, and keys its record. */
enum gw_hash {
	GW_HASH_FLOW,  /* both addresses and ports */
	GW_HASH_SOURCE /* the client's address: all its flows go to one backend */
};

/* An address on the wire; an IPv4 address is IPv4-mapped (RFC 4291, 2.5.5.2). */
struct gw_address {
	__be32 word[4];
};

/*
 * An interface that the program is attached to, and a VLAN there. A tag is what is on the
 * wire, protocol and id, without the priority bits; the outer one is the first, and 0 is
 * none. Key of `vlans`.
 */
struct gw_segment {
	__u32 ifindex;
	__be32 tags[2];
};

/*
 * A MAC that the host answers to besides its interface's own: a virtual router's, while this
 * host is its Active. guideway-vrrpd writes it, not the controller.
 */
struct gw_station {
	__u32 ifindex; /* as the host sees it: in a VLAN, that of the VLAN's interface */
	__be16 mac[3];
	__u16 reserved;
};

/* What an endpoint is in the directory. */
enum gw_role {
	GW_ROLE_VIP = 1, /* port and protocol are 0 */
	GW_ROLE_SERVICE, /* port 0: every port */
	GW_ROLE_BACKEND  /* of a NAT service; port 0: every port */
};

/* (address, port, protocol) as something. */
struct gw_endpoint {
	struct gw_address address;
	__be16 port;
	__u8 protocol;
	__u8 role; /* enum gw_role */
};

/* A service. The ring is slots[ring_offset … ring_offset + ring_size - 1]. */
struct gw_service {
	__u32 id; /* index of its counter */
	__u32 ring_offset;
	__u32 ring_size; /* 0: no backend can serve */
	__u32 hash_seed;
	__u32 mode;     /* enum gw_mode */
	__u32 affinity; /* enum gw_affinity */
	__u16 hash;     /* enum gw_hash */
	__u16 is_watched; /* handshakes of its flows are counted, by backend */
	__u32 idle_seconds; /* a record is forgotten when its flow was silent for so long */
	__u64 changed_ns;   /* CLOCK_MONOTONIC of the ring's last change; for the controller */
};

/*
 * Value of `slots`. Not in transition (before_id is 0): packets go to backend_id. In
 * transition: flows that begin now do; those that were there before go to before_id; and
 * both are recorded. A multiple of 8 bytes, as the kernel spaces an array's elements.
 */
struct gw_slot {
	__u32 backend_id;
	__u32 before_id; /* or 0, or GW_RECORDS_ONLY */
};

/* Key of `records`: a flow, as its service sees it. Ports are 0 with GW_HASH_SOURCE. */
struct gw_flow {
	struct gw_address client;
	__u32 service_id;
	__be16 client_port;
	__be16 port; /* the VIP's */
};

/* Value of `records`. */
struct gw_record {
	__u64 seen_ns; /* CLOCK_MONOTONIC; up to a second behind */
	__u32 backend_id;
	__u32 owner; /* of that id, then; see gw_backend */
};

/* Key of `replies`: a flow, as a NAT backend sees it. */
struct gw_reply_flow {
	struct gw_address client;
	struct gw_address backend;
	__be16 client_port;
	__be16 backend_port;
	__u8 protocol;
	__u8 pad[3];
};

/* Value of `replies`: the VIP that the client spoke to last. */
struct gw_speaker {
	__u64 seen_ns; /* CLOCK_MONOTONIC; up to a second behind */
	struct gw_address vip;
	__be16 port;
	__u8 pad[6];
};

/* The way to a backend. */
struct gw_hop {
	struct gw_segment segment; /* where to send */
	__u8 mac[6];        /* of the next hop */
	__u8 source_mac[6]; /* of the interface where to send, or of the VLAN's */
};

/*
 * Value of `backends`; the index is the backend's id and that of its counter. While it is
 * used, only flags change, and the hop that is not the current one (backends.py).
 */
struct gw_backend {
	struct gw_address address;
	__u32 service_id; /* the service it belongs to */
	__u32 owner;      /* tells this owner of the id from others, before and after it */
	__be16 port;     /* 0: every port */
	__u8 is_used;    /* 0: this entry is nobody's */
	__u8 current;    /* 0 or 1: which of the hops */
	__u8 is_down;    /* may not keep flows that are recorded, or were its own before */
	__u8 is_tracked; /* flows that go there are written to `replies` */
	__u8 pad[2];
	struct gw_hop hops[2];
};

/* Whom a NAT backend's reply comes from, as its client sees it. */
struct gw_return {
	struct gw_address vip;
	__be16 port;     /* 0: the backend's own */
	__u8 is_tracked; /* `replies` say it; for flows that are not there, this does */
	__u8 pad;
	__u32 pad2;
	__u64 until_ns; /* … until then, CLOCK_MONOTONIC */
};

/* Value of `endpoints`. Never changed while the directory points to it. */
struct gw_entry {
	struct gw_endpoint endpoint;
	__u32 pad;
	union {
		struct gw_service service; /* GW_ROLE_SERVICE */
		struct gw_return reply;    /* GW_ROLE_BACKEND */
	};
};

/* Key of `fragments`: a datagram, by RFC 791, 3.2 and RFC 8200, 4.5. */
struct gw_datagram {
	struct gw_address source;
	struct gw_address dest;
	__u32 id; /* as on the wire; 16 bits of IPv4 */
	__u8 protocol;
	__u8 pad[3];
};

/* Value of `fragments`: what became of the first fragment. */
struct gw_fragment {
	__u64 seen_ns; /* CLOCK_MONOTONIC */
	struct gw_address vip; /* that a NAT backend's reply is shown to be from; else 0 */
	__u32 backend_id;      /* or GW_NO_BACKEND_ID: it was a reply */
	__u32 owner;           /* of that id, then; see gw_backend */
	__u32 mode;            /* enum gw_mode */
	__u32 pad;
};

/*
 * Value of `handshakes`: a client's SYN that is not followed by anything yet. Of a flow that
 * comes to the place of another, the other is forgotten.
 */
struct gw_handshake {
	__u64 flow; /* hash of both addresses and ports; 0: the entry is nobody's */
	__u32 next; /* sequence number of what the client sends when it was answered */
	__u32 backend_id;
};

/* What a packet leaves behind: bits. */
enum gw_trace {
	GW_TRACE_RECORD = 1,
	GW_TRACE_SPEAKER = 2,
	GW_TRACE_FRAGMENT = 4,
	GW_TRACE_HANDSHAKE = 8
};

/* Value of `traces`, one per CPU: what the packet in hand is to leave behind. */
struct gw_traces {
	struct gw_record record;
	struct gw_speaker speaker;
	struct gw_fragment fragment;
	struct gw_handshake handshake;
	struct gw_flow flow;              /* key of the record */
	struct gw_reply_flow reply_flow;  /* of the speaker */
	struct gw_datagram datagram;      /* of the fragment */
	__u32 kinds; /* enum gw_trace */
};

/*
 * Value of `gates`, the only one: the bit of every VIP and of every NAT backend is set. An
 * address whose bit is not set is neither, and is not looked for in the directory under
 * each of its roles. Bits too many cost time and nothing else.
 */
struct gw_gates {
	__u64 words[1024]; /* GW_GATES bits; see gate_of() in lookup.h */
};

/* What the kernel's routing may depend on. */
struct gw_journey {
	struct gw_address client;
	struct gw_address backend;
	__u32 ingress_ifindex;
	__u8 protocol;
	__u8 traffic_class; /* of IPv4, TOS */
	__u8 pad[2];
};

/* Value of `ways`, one per CPU: how the last of such replies went. */
struct gw_way {
	struct gw_journey journey;
	__u64 found_ticks; /* bpf_jiffies64() */
	struct gw_segment segment; /* where to send */
	__u32 most_bytes;  /* of a packet, from its network header on */
	__u8 mac[6];
	__u8 source_mac[6];
	__u8 pad[4];
};

/* Key of `direct`, a longest-prefix match. */
struct gw_prefix {
	__u32 length; /* bits, 96 more than those of an IPv4 prefix */
	struct gw_address address;
};

/*
 * Value of `ports`: an interface that the program is attached to, or that of a VLAN on one
 * of these; its frames come and go by `segment`. Value of `vlans`: the latter only.
 */
struct gw_port {
	__u32 ifindex; /* 0: none */
	struct gw_segment segment;
	__u8 mac[6];
	__u8 pad[2];
};

/* Value of the counters, one per CPU. */
struct gw_counter {
	__u64 packets;
	__u64 bytes; /* frame lengths, without the FCS */
	__u64 flows; /* TCP connections that began; UDP does not say */
};

/*
 * Value of `handshake_counters`, one per CPU. An index is not set to 0 when a backend gets
 * it: the controller goes by differences.
 */
struct gw_handshakes {
	__u64 begun;     /* SYNs of connections */
	__u64 repeated;  /* further SYNs of those that were not answered yet */
	__u64 completed; /* that the client went on with: so it has the answer */
};
