/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * ICMP and ICMPv6 to a VIP: echo requests are answered here; errors go to the backend whose
 * packet they are about, or, about a NAT backend's flow, to the client.
 *
 * The types of both are kept apart by the family. (ICMP: RFC 792; ICMPv6: RFC 4443.)
 */

#define ECHO_TTL 64

/* The packet that an ICMP error quotes, as far as it is there: 8 bytes of layer 4. */
struct quote {
	void *ip;
	struct l4_ports *ports;
	__sum16 *check; /* of IPv4 */
	__sum16 *l4_check; /* NULL: not quoted */
	bool is_udp;
};

static __always_inline bool is_echo_request(const struct packet *pkt)
{
	const struct icmphdr *icmp = pkt->l4;

	return icmp->type == (pkt->is_ipv6 ? ICMPV6_ECHO_REQUEST : ICMP_ECHO);
}

static __always_inline bool is_error(const struct packet *pkt)
{
	const struct icmphdr *icmp = pkt->l4;

	if (pkt->is_ipv6)
		return icmp->type == ICMPV6_DEST_UNREACH || icmp->type == ICMPV6_PKT_TOOBIG ||
		       icmp->type == ICMPV6_TIME_EXCEED;
	return icmp->type == ICMP_DEST_UNREACH || icmp->type == ICMP_TIME_EXCEEDED;
}

/* Turn an echo request around. Swapping two addresses leaves a sum over both as it is. */
static __always_inline enum gw_reason answer_echo(struct packet *pkt)
{
	struct icmphdr *icmp = pkt->l4;
	u8 client[ETH_ALEN];
	__be16 *word = (__be16 *)icmp; /* type and code */
	__be16 old = *word;

	icmp->type = pkt->is_ipv6 ? ICMPV6_ECHO_REPLY : ICMP_ECHOREPLY;
	icmp->checksum = checksum_apply(icmp->checksum, sum_replace2(0, old, *word));
	write_address(pkt->is_ipv6, source_of(pkt), &pkt->dst.address, 0);
	write_address(pkt->is_ipv6, destination_of(pkt), &pkt->src.address, 0);
	set_ttl(pkt, ECHO_TTL);
	__builtin_memcpy(client, pkt->eth->h_source, ETH_ALEN);
	__builtin_memcpy(pkt->eth->h_source, pkt->eth->h_dest, ETH_ALEN);
	__builtin_memcpy(pkt->eth->h_dest, client, ETH_ALEN);
	pkt->action = XDP_TX; /* by the way that it came, with its tags */
	return GW_ICMP_ANSWERED;
}

/* The addresses and ports of the quoted packet, from its own point of view. */
struct quoted_flow {
	struct gw_endpoint src;
	struct gw_endpoint dst;
};

/* False: there is no layer 4 to be seen behind the extension headers of a quoted packet. */
static __always_inline bool skip_quoted_extensions(struct cursor *cur, u8 *next)
{
	struct fragment_header *fragment;
	void *start = cur->pos;

#pragma unroll
	for (int i = 0; i < EXTENSION_HEADERS; i++) {
		if (!is_extension(*next))
			break;
		if (!skip_extension(cur, next, &fragment) || (fragment && is_later(fragment)))
			return false;
	}
	cur->pos = forget_distance(start, cur->pos, 0x3fff);
	return true;
}

static __always_inline bool
parse_quoted_ip(struct cursor *cur, bool is_ipv6, struct quote *quote, struct quoted_flow *flow)
{
	struct ipv6hdr *ip6;
	struct iphdr *ip;

	quote->ip = cur->pos;
	if (is_ipv6) {
		if (!pull(cur, ip6))
			return false;
		flow->src.address = map_ipv6(&ip6->saddr);
		flow->dst.address = map_ipv6(&ip6->daddr);
		flow->src.protocol = ip6->nexthdr;
		return !is_mapped(&flow->src.address) && !is_mapped(&flow->dst.address) &&
		       skip_quoted_extensions(cur, &flow->src.protocol);
	}
	if (!pull(cur, ip) || ip->ihl * 4 < sizeof(*ip) ||
	    ip->frag_off & bpf_htons(IP_FRAGMENT_OFFSET))
		return false;
	quote->check = &ip->check;
	flow->src.address = map_ipv4(ip->saddr);
	flow->dst.address = map_ipv4(ip->daddr);
	flow->src.protocol = ip->protocol;
	cur->pos = (void *)ip + ip->ihl * 4;
	return true;
}

/* Whether the packet goes on up to `pos`, and not just the frame, which may be padded. */
static __always_inline bool reaches(const struct packet *pkt, void *pos)
{
	return pos - pkt->l4 <= pkt->l4_bytes;
}

/* False: it is too short, or not of TCP or UDP. */
static __always_inline bool parse_quote(struct xdp_md *ctx, const struct packet *pkt,
					struct quote *quote, struct quoted_flow *flow)
{
	struct cursor cur = { pkt->l4 + sizeof(struct icmphdr), (void *)(long)ctx->data_end };
	struct udphdr *start; /* as much as an error has to quote of any protocol */
	struct tcphdr *tcp;

	if (!parse_quoted_ip(&cur, pkt->is_ipv6, quote, flow) || !pull(&cur, start) ||
	    !reaches(pkt, cur.pos))
		return false;
	flow->dst.protocol = flow->src.protocol;
	flow->src.port = start->source;
	flow->dst.port = start->dest;
	quote->ports = (struct l4_ports *)start;
	if (flow->src.protocol == IPPROTO_UDP) {
		quote->l4_check = start->check ? &start->check : NULL;
		quote->is_udp = true;
		return true;
	}
	cur.pos = tcp = (struct tcphdr *)start;
	if (pull(&cur, tcp) && reaches(pkt, cur.pos))
		quote->l4_check = &tcp->check;
	return flow->src.protocol == IPPROTO_TCP;
}

/*
 * Write an endpoint of the quoted packet, and mend its checksums and the outer one, which
 * covers all of it. `sum` is what changed in the outer pseudo-header.
 */
static __always_inline void translate_quote(struct packet *pkt, const struct quote *quote,
					    void *field, __be16 *port,
					    const struct gw_address *address, __be16 new_port,
					    u32 sum)
{
	u32 inside = write_address(pkt->is_ipv6, field, address, 0);
	__sum16 *checks[] = { quote->check, quote->l4_check };
	u32 covered[] = { inside, sum_replace2(inside, *port, new_port) };

	sum += covered[1];
	*port = new_port;
#pragma unroll
	for (int i = 0; i < 2; i++) {
		if (!checks[i])
			continue;
		__sum16 old = *checks[i];

		*checks[i] = checksum_apply(old, covered[i]);
		if (checks[i] == quote->l4_check && quote->is_udp && !*checks[i])
			*checks[i] = 0xffff; /* RFC 768: a computed 0 */
		sum = sum_replace2(sum, old, *checks[i]);
	}
	*pkt->l4_check = checksum_apply(*pkt->l4_check, sum);
}

/* ICMPv6 has a pseudo-header, ICMP has none. */
static __always_inline u32
readdress_error(struct packet *pkt, void *field, const struct gw_address *address)
{
	u32 sum = readdress(pkt, field, address);

	return pkt->is_ipv6 ? sum : 0;
}

static __always_inline enum gw_reason
translate_error(struct packet *pkt, const struct quote *quote, const struct gw_backend *backend)
{
	void *field = pkt->is_ipv6 ? (void *)&((struct ipv6hdr *)quote->ip)->saddr :
				     (void *)&((struct iphdr *)quote->ip)->saddr;

	if (ttl_of(pkt) <= 1)
		return GW_TTL_EXCEEDED;

	u32 sum = readdress_error(pkt, destination_of(pkt), &backend->address);

	translate_quote(pkt, quote, field, &quote->ports->source, &backend->address,
			port_at(backend, quote->ports->source), sum);
	set_ttl(pkt, ttl_of(pkt) - 1);
	return GW_ICMP_FORWARDED;
}

/* An error to a VIP, about a packet that a service sent: to the backend that sent it. */
static __always_inline enum gw_reason
forward_error(struct xdp_md *ctx, struct packet *pkt, bool from_martian)
{
	struct quoted_flow flow = {};
	struct quote quote = {};

	if (!parse_quote(ctx, pkt, &quote, &flow) ||
	    !is_equal(&flow.src.address, &pkt->dst.address))
		return GW_ICMP_PASSED;
	pkt->src = flow.dst; /* as the client's own packets have it */
	pkt->dst = flow.src;

	struct gw_service *service = find_service(pkt);

	if (!service)
		return GW_ICMP_PASSED;
	if (from_martian)
		return GW_MARTIAN;

	struct gw_backend *backend = pick_backend(pkt, service, false);
	enum gw_reason reason = GW_ICMP_FORWARDED;

	if (!backend)
		return GW_NO_BACKEND;
	if (service->mode == GW_MODE_NAT)
		reason = translate_error(pkt, &quote, backend);
	if (reason != GW_ICMP_FORWARDED)
		return reason;
	send_to_backend(pkt, backend, service->id);
	return reason;
}

/* ICMP to somebody else: perhaps an error about a packet that we sent to a NAT backend. */
static __always_inline enum gw_reason forward_error_reply(struct xdp_md *ctx, struct packet *pkt)
{
	const struct gw_way *way;
	struct gw_endpoint speaker;
	struct quoted_flow flow = {};
	struct quote quote = {};

	if (!is_error(pkt) || !parse_quote(ctx, pkt, &quote, &flow) ||
	    !is_equal(&flow.src.address, &pkt->dst.address))
		return GW_NOT_OURS;

	struct gw_return *from = find_return(&flow.dst);

	if (!from)
		return GW_NOT_OURS;

	enum gw_reason reason = find_way(ctx, pkt, &way);

	if (reason != GW_REPLIED_NAT)
		return reason;
	if (is_martian(pkt))
		return GW_MARTIAN;
	if (!find_speaker(pkt, from, &flow.src, &flow.dst, false, &speaker))
		return GW_REPLY_UNKNOWN;
	if (ttl_of(pkt) <= 1)
		return GW_TTL_EXCEEDED;

	void *field = pkt->is_ipv6 ? (void *)&((struct ipv6hdr *)quote.ip)->daddr :
				     (void *)&((struct iphdr *)quote.ip)->daddr;
	u32 sum = 0;

	/* A router on the way speaks for itself; the backend is not to be seen. */
	if (is_equal(&pkt->src.address, &flow.dst.address))
		sum = readdress_error(pkt, source_of(pkt), &speaker.address);
	translate_quote(pkt, &quote, field, &quote.ports->dest, &speaker.address, speaker.port,
			sum);
	return send_reply(pkt, way, GW_ICMP_REPLIED);
}

static __always_inline enum gw_reason serve_icmp(struct xdp_md *ctx, struct packet *pkt)
{
	if (!is_for_us(pkt))
		return GW_OTHER_STATION;
	bool from_martian = is_martian(pkt);

	if (is_error(pkt))
		return forward_error(ctx, pkt, from_martian);
	if (!is_echo_request(pkt))
		return GW_ICMP_PASSED;
	return from_martian ? GW_MARTIAN : answer_echo(pkt); /* there is nobody to answer to */
}
