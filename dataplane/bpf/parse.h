/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * From bytes to a flow. Nothing here reads a map or writes a byte.
 */

#define IP_MORE_FRAGMENTS 0x2000
#define IP_FRAGMENT_OFFSET 0x1fff
#define IPV6_MORE_FRAGMENTS 0x0001
#define IPV6_FRAGMENT_OFFSET 0xfff8

#define VLAN_TAGS 2
#define VLAN_ID 0x0fff
#define VLAN_PRIORITY 0xf000 /* and the bit that says who may be dropped first */
#define EXTENSION_HEADERS 4

/* Ethernet's longest frame with two tags; to ask for the length of a longer one costs 7 ns. */
#define USUAL_FRAME 1522

#define TCP_FLAGS (TCP_FLAG_SYN | TCP_FLAG_ACK | TCP_FLAG_RST | TCP_FLAG_FIN)

/*
 * How far we are in the frame. Every header is checked against `end` before it is read. A
 * frame may go on behind that, in further buffers, which are carried along unseen.
 */
struct cursor {
	void *pos;
	void *end;
};

/* IEEE 802.1Q, 9.3. Its own protocol stands before it, in the place of the type. */
struct vlan_tag {
	__be16 tci;
	__be16 protocol; /* of what follows */
};

/* RFC 8200, 4.3 to 4.6: what all extension headers but the fragment header begin with. */
struct extension {
	u8 next;
	u8 length; /* in units of 8 bytes, the first 8 not counted */
	u8 pad[6];
};

/* RFC 8200, 4.5 */
struct fragment_header {
	u8 next;
	u8 reserved;
	__be16 offset; /* and the M flag */
	__be32 id;
};

/* The first four bytes of TCP and UDP alike. */
struct l4_ports {
	__be16 source;
	__be16 dest;
};

/* What a packet is, as far as it can concern us. */
enum kind {
	KIND_FOREIGN,   /* nothing that a service could be for */
	KIND_FLOW,      /* TCP or UDP; if it is a fragment, the first one */
	KIND_FRAGMENT,  /* a later fragment of a TCP or UDP packet: no ports */
	KIND_ICMP,      /* ICMP or ICMPv6, its first 8 bytes at least */
	KIND_MALFORMED, /* cut short, or lengths that cannot be; the addresses can be trusted */
};

/* A packet on its way through the stages. */
struct packet {
	struct ethhdr *eth;
	void *ip; /* struct iphdr or struct ipv6hdr */
	void *l4; /* struct l4_ports, struct icmphdr or struct icmp6hdr */
	u32 l4_bytes; /* from there to the end that the IP header names */
	__sum16 *l4_check;
	struct gw_endpoint src;
	struct gw_endpoint dst;
	u32 bytes; /* of the frame */
	__be32 fragment_id;
	u8 fragment_protocol;
	bool is_ipv6;
	/*
	 * Verifier: raw bits, of which it knows nothing. With a bool for each question it would
	 * walk all that follows once for each combination of answers.
	 */
	__be32 first_fragment; /* not 0: the first of several */
	__be32 tcp_flags;      /* 0: not TCP */
	struct gw_segment in;         /* where it comes from */
	const struct gw_segment *out; /* where to send it; set by the stage that forwards */
	__be32 priorities[VLAN_TAGS]; /* of each tag */
	u32 tag_count; /* one that tells a priority and no VLAN is not in `in` */
	u32 service_id; /* whose backend it goes to */
	u32 backend_id; /* GW_NO_BACKEND_ID: to none */
	struct gw_traces *traces; /* what it is to leave behind; NULL: nothing */
	int action; /* XDP_TX, XDP_REDIRECT ... */
};

/* Of TCP; UDP does not say. */
static __always_inline bool begins_flow(const struct packet *pkt)
{
	return pkt->tcp_flags == TCP_FLAG_SYN;
}

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

/*
 * Whether the frame has so many bytes from `start` on. A driver that keeps headers apart has
 * little of a frame in its first buffer, and there may be more of it after all: so the kernel
 * is asked. (Of a frame whose packet ends in such a buffer only padding is not counted.)
 */
static __always_inline bool
has_bytes(struct xdp_md *ctx, struct packet *pkt, const void *start, u32 bytes)
{
	u32 before = start - (void *)pkt->eth;

	/* Verifier: or clang would add to a pointer what may be any number. */
	asm volatile("" : "+r"(before));
	if (before + bytes <= pkt->bytes)
		return true;
	pkt->bytes = bpf_xdp_get_buff_len(ctx);
	return before + bytes <= pkt->bytes;
}

/*
 * Verifier: it would walk all that follows once for each number of tags or headers that a
 * packet may have. A difference of pointers is any number to it, so that one walk does.
 * `most` is a mask, and at least as large as the distance.
 */
static __always_inline void *forget_distance(void *start, void *pos, const u32 most)
{
	asm volatile("" : "+r"(pos)); /* or clang would know the difference */
	return start + (u32)((pos - start) & most);
}

static __always_inline struct gw_address map_ipv4(__be32 address)
{
	return (struct gw_address){ .word = { 0, 0, bpf_htonl(0xffff), address } };
}

static __always_inline struct gw_address map_ipv6(const struct in6_addr *address)
{
	const __be32 *word = address->in6_u.u6_addr32;

	return (struct gw_address){ .word = { word[0], word[1], word[2], word[3] } };
}

/* An address of IPv4 in IPv6's form: not one that a packet may have (RFC 4291, 2.5.5.2). */
static __always_inline bool is_mapped(const struct gw_address *address)
{
	/* Verifier: one branch and not three, each of which it would follow to the end. */
	return !(address->word[0] | address->word[1] | (address->word[2] ^ bpf_htonl(0xffff)));
}

/* Keep the tag in that place in mind; `wire` is its protocol and TCI. */
static __always_inline void note_tag(struct packet *pkt, int place, const __be16 *wire)
{
	__be32 tag;

	__builtin_memcpy(&tag, wire, sizeof(tag)); /* not aligned to four bytes */
	pkt->tag_count = place + 1;
	pkt->priorities[place] = tag & bpf_htonl(VLAN_PRIORITY);
	if (tag & bpf_htonl(VLAN_ID)) /* else it tells a priority, and no VLAN */
		pkt->in.tags[place] = tag & ~bpf_htonl(VLAN_PRIORITY);
}

/* Step over the Ethernet header and its VLAN tags; false if that is not all there. */
static __always_inline bool parse_ethernet(struct cursor *cur, struct packet *pkt, __be16 *type)
{
	struct vlan_tag *tag;

	if (!pull(cur, pkt->eth))
		return false;
	*type = pkt->eth->h_proto;
#pragma unroll
	for (int i = 0; i < VLAN_TAGS; i++) {
		if (*type != bpf_htons(ETH_P_8021Q) && *type != bpf_htons(ETH_P_8021AD))
			break;
		if (!pull(cur, tag))
			return false;
		note_tag(pkt, i, (void *)tag - sizeof(*type));
		*type = tag->protocol;
	}
	cur->pos = forget_distance(pkt->eth, cur->pos, 0x1f);
	return true;
}

/* The header behind IP's. Of a whole packet `l4_bytes` says how much there is of it. */
static __always_inline enum kind
parse_l4(struct cursor *cur, struct packet *pkt, u8 protocol, u32 l4_bytes)
{
	struct tcphdr *tcp;
	struct udphdr *udp;
	struct icmphdr *icmp;

	pkt->src.protocol = pkt->dst.protocol = protocol;
	pkt->l4 = cur->pos;
	pkt->l4_bytes = l4_bytes;
	switch (protocol) {
	case IPPROTO_TCP:
		if (l4_bytes < sizeof(*tcp) || !pull(cur, tcp))
			return KIND_MALFORMED;
		pkt->l4_check = &tcp->check;
		pkt->tcp_flags = tcp_flag_word(tcp) & TCP_FLAGS;
		break;
	case IPPROTO_UDP:
		if (l4_bytes < sizeof(*udp) || !pull(cur, udp))
			return KIND_MALFORMED;
		pkt->l4_check = &udp->check;
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if ((protocol == IPPROTO_ICMPV6) != pkt->is_ipv6)
			return KIND_FOREIGN;
		if (l4_bytes < sizeof(*icmp) || !pull(cur, icmp))
			return KIND_MALFORMED;
		pkt->l4_check = &icmp->checksum;
		/* What is spread over fragments, the host's stack puts together. */
		return pkt->first_fragment ? KIND_FOREIGN : KIND_ICMP;
	default:
		return KIND_FOREIGN;
	}
	pkt->src.port = ((struct l4_ports *)pkt->l4)->source;
	pkt->dst.port = ((struct l4_ports *)pkt->l4)->dest;
	return KIND_FLOW;
}

static __always_inline bool is_extension(u8 protocol)
{
	return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING ||
	       protocol == IPPROTO_DSTOPTS || protocol == IPPROTO_FRAGMENT;
}

/* A fragment after the first: of a flow, if the datagram is TCP's or UDP's, or may be. */
static __always_inline enum kind later_fragment(u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || is_extension(protocol) ?
		       KIND_FRAGMENT :
		       KIND_FOREIGN;
}

static __always_inline enum kind
parse_ipv4(struct xdp_md *ctx, struct cursor *cur, struct packet *pkt)
{
	struct iphdr *ip;

	if (!pull(cur, ip)) /* too short to say for whom */
		return KIND_FOREIGN;
	pkt->ip = ip;
	pkt->src.address = map_ipv4(ip->saddr);
	pkt->dst.address = map_ipv4(ip->daddr);

	u32 header_bytes = ip->ihl * 4;
	u32 total_bytes = bpf_ntohs(ip->tot_len);

	if (ip->version != 4 || header_bytes < sizeof(*ip) || total_bytes < header_bytes)
		return KIND_MALFORMED;
	if (!has_bytes(ctx, pkt, ip, total_bytes)) /* the rest of it is missing */
		return KIND_MALFORMED;

	pkt->fragment_id = ip->id;
	pkt->fragment_protocol = ip->protocol;
	if (ip->frag_off & bpf_htons(IP_FRAGMENT_OFFSET))
		return later_fragment(ip->protocol);
	pkt->first_fragment = ip->frag_off & bpf_htons(IP_MORE_FRAGMENTS);
	cur->pos = (void *)ip + header_bytes;
	return parse_l4(cur, pkt, ip->protocol, total_bytes - header_bytes);
}

/*
 * Step over an extension header of the kind *next; then that is what follows. `fragment` is
 * set if it was a fragment header. Returns false if it is cut short.
 */
static __always_inline bool
skip_extension(struct cursor *cur, u8 *next, struct fragment_header **fragment)
{
	struct extension *extension;

	if (!pull(cur, extension))
		return false;
	*fragment = NULL;
	if (*next == IPPROTO_FRAGMENT)
		*fragment = (struct fragment_header *)extension;
	else
		cur->pos += extension->length * 8;
	*next = extension->next;
	return true;
}

static __always_inline bool is_later(const struct fragment_header *fragment)
{
	return fragment->offset & bpf_htons(IPV6_FRAGMENT_OFFSET);
}

/* Note the packet's own extension header. Returns KIND_FLOW if what follows can be looked at. */
static __always_inline enum kind
parse_extension(struct cursor *cur, struct packet *pkt, u8 *next)
{
	struct fragment_header *fragment;

	if (!skip_extension(cur, next, &fragment))
		return KIND_MALFORMED;
	if (!fragment)
		return KIND_FLOW;
	pkt->fragment_id = fragment->id;
	pkt->fragment_protocol = fragment->next;
	pkt->first_fragment = fragment->offset & bpf_htons(IPV6_MORE_FRAGMENTS);
	return is_later(fragment) ? later_fragment(fragment->next) : KIND_FLOW;
}

static __always_inline enum kind
parse_ipv6(struct xdp_md *ctx, struct cursor *cur, struct packet *pkt)
{
	struct ipv6hdr *ip;
	void *start = cur->pos;

	if (!pull(cur, ip)) /* too short to say for whom */
		return KIND_FOREIGN;
	pkt->ip = ip;
	pkt->src.address = map_ipv6(&ip->saddr);
	pkt->dst.address = map_ipv6(&ip->daddr);
	if (is_mapped(&pkt->src.address) || is_mapped(&pkt->dst.address))
		return KIND_FOREIGN; /* or it would be taken for IPv4's */

	u32 total_bytes = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	u32 header_bytes;
	u8 next = ip->nexthdr;

	if (ip->version != 6 || !has_bytes(ctx, pkt, start, total_bytes))
		return KIND_MALFORMED;
#pragma unroll
	for (int i = 0; i < EXTENSION_HEADERS; i++) {
		if (!is_extension(next))
			break;

		enum kind kind = parse_extension(cur, pkt, &next);

		header_bytes = cur->pos - start;
		if (header_bytes > total_bytes)
			return KIND_MALFORMED;
		if (kind != KIND_FLOW)
			return kind;
	}
	if (is_extension(next)) /* nobody needs so many */
		return KIND_MALFORMED;
	cur->pos = forget_distance(start, cur->pos, 0x3fff);

	header_bytes = cur->pos - start;
	return parse_l4(cur, pkt, next, total_bytes - header_bytes);
}
