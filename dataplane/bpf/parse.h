/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * From bytes to a flow. Nothing here reads a map or writes a byte.
 */

#define IP_MORE_FRAGMENTS 0x2000
#define IP_FRAGMENT_OFFSET 0x1fff

/* How far we are in the frame. Every header is checked against `end` before it is read. */
struct cursor {
	void *pos;
	void *end;
};

/* The first four bytes of TCP and UDP alike. */
struct l4_ports {
	__be16 source;
	__be16 dest;
};

/* A packet on its way through the stages. */
struct packet {
	struct ethhdr *eth;
	struct iphdr *ip;
	struct l4_ports *l4;
	__sum16 *l4_check; /* of TCP or UDP, by dst.protocol */
	struct gw_endpoint src;
	struct gw_endpoint dst;
	u32 bytes;  /* of the frame */
	int action; /* XDP_TX, XDP_REDIRECT …, set by the stage that forwards */
};

/* Point *hdr at the next header and step over it; false if it is cut short. */
#define pull(cur, hdr)                                   \
	({                                               \
		bool ok = false;                         \
		(hdr) = (cur)->pos;                      \
		if ((void *)((hdr) + 1) <= (cur)->end) { \
			(cur)->pos = (hdr) + 1;          \
			ok = true;                       \
		}                                        \
		ok;                                      \
	})

static __always_inline struct gw_address map_ipv4(__be32 address)
{
	return (struct gw_address){ .word = { 0, 0, bpf_htonl(0xffff), address } };
}

/* Find ports and checksum; false if the header is cut short. */
static __always_inline bool parse_l4(struct cursor *cur, struct packet *pkt)
{
	struct tcphdr *tcp;
	struct udphdr *udp;

	pkt->l4 = cur->pos;
	if (pkt->dst.protocol == IPPROTO_TCP) {
		if (!pull(cur, tcp))
			return false;
		pkt->l4_check = &tcp->check;
	} else {
		if (!pull(cur, udp))
			return false;
		pkt->l4_check = &udp->check;
	}
	pkt->src.port = pkt->l4->source;
	pkt->dst.port = pkt->l4->dest;
	return true;
}

/*
 * Fill in pkt. True: it is a whole TCP or UDP packet. False: *why says what it is instead;
 * anything but GW_NOT_OURS holds only if pkt->dst.address, which is set then, is a VIP.
 */
static __always_inline bool parse(struct xdp_md *ctx, struct packet *pkt, enum gw_reason *why)
{
	struct cursor cur = { (void *)(long)ctx->data, (void *)(long)ctx->data_end };
	struct iphdr *ip;

	pkt->bytes = cur.end - cur.pos;
	*why = GW_NOT_OURS;
	if (!pull(&cur, pkt->eth) || pkt->eth->h_proto != bpf_htons(ETH_P_IP))
		return false;
	if (!pull(&cur, ip)) /* too short to say for whom */
		return false;
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP)
		return false;

	pkt->ip = ip;
	pkt->src.address = map_ipv4(ip->saddr);
	pkt->dst.address = map_ipv4(ip->daddr);
	pkt->src.protocol = pkt->dst.protocol = ip->protocol;

	u32 header_bytes = ip->ihl * 4;
	u32 l4_bytes = ip->protocol == IPPROTO_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr);
	u32 total_bytes = bpf_ntohs(ip->tot_len);
	bool later_fragment = ip->frag_off & bpf_htons(IP_FRAGMENT_OFFSET);

	*why = GW_MALFORMED;
	if (ip->version != 4 || header_bytes < sizeof(*ip))
		return false;
	if (total_bytes > pkt->bytes - sizeof(*pkt->eth)) /* the rest of it is missing */
		return false;
	if (total_bytes < header_bytes + (later_fragment ? 0 : l4_bytes))
		return false;

	*why = GW_FRAGMENT;
	if (later_fragment || ip->frag_off & bpf_htons(IP_MORE_FRAGMENTS))
		return false;

	*why = GW_MALFORMED;
	cur.pos = (void *)ip + header_bytes;
	return parse_l4(&cur, pkt);
}
