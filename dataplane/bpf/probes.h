/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What probes.c and the controller agree on; read by clang and by cffi. IPv4 addresses are
 * written as IPv6 ones (::ffff:a.b.c.d), words and ports are in network byte order.
 */

#define GW_PROBE_TARGETS 65536 /* numbers, of which 0 is nobody's */
#define GW_PROBE_FLOWS 32768 /* probes under way and just over; ports of a source: 28,000 */

struct gw_probe_address {
	__be32 word[4];
};

/* A backend of a VIP: what a packet to its stand-in becomes. */
struct gw_probe_target {
	struct gw_probe_address vip;
	__u32 ifindex; /* of the interface that leads to it */
	__u8 to[6]; /* its MAC */
	__u8 from[6]; /* ours there */
};

/* Whom an answer is to, and what it says that it is from. */
struct gw_probe_flow {
	struct gw_probe_address node;
	struct gw_probe_address vip;
	__be16 node_port;
	__be16 vip_port;
	__u32 protocol;
};

/* The interface that stand-ins are behind. */
struct gw_probe_device {
	__u32 ifindex;
	__u8 mac[6];
	__u8 unused[2];
};
