/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Network address translation, both directions, without a connection table: forward, the
 * ring names the backend; back, `returns` names the VIP that the backend answers for.
 *
 * We act as a router: the time to live goes down by one.
 */

/* IPv4 only: the last word of an IPv4-mapped address. */
static __always_inline __be32 ipv4_of(const struct gw_address *address)
{
	return address->word[3];
}

/* Write a new address and port over old ones, and mend both checksums. */
static __always_inline void rewrite(struct packet *pkt, __be32 *address, __be16 *port,
				    const struct gw_address *new_address, __be16 new_port)
{
	u32 sum = sum_replace4(0, *address, ipv4_of(new_address));

	pkt->ip->check = checksum_apply(pkt->ip->check, sum);
	l4_checksum_apply(pkt, sum_replace2(sum, *port, new_port));
	*address = ipv4_of(new_address);
	*port = new_port;
}

/* ttl and protocol are one 16-bit word of the header checksum. */
static __always_inline void decrement_ttl(struct iphdr *ip)
{
	__be16 *word = (__be16 *)&ip->ttl;
	__be16 old = *word;

	ip->ttl--;
	ip->check = checksum_apply(ip->check, sum_replace2(0, old, *word));
}

static __always_inline enum gw_reason
forward_nat(struct xdp_md *ctx, struct packet *pkt, const struct gw_backend *backend)
{
	if (pkt->ip->ttl <= 1)
		return GW_TTL_EXCEEDED;

	rewrite(pkt, &pkt->ip->daddr, &pkt->l4->dest, &backend->address, backend->port);
	decrement_ttl(pkt->ip);
	send_out(ctx, pkt, backend->ifindex, backend->mac, backend->source_mac);
	return GW_FORWARDED_NAT;
}

static __always_inline bool is_direct(const struct gw_address *address)
{
	struct gw_prefix key = { .length = 8 * sizeof(*address), .address = *address };

	return direct.lookup(&key);
}

/* The way to the client, from the kernel's own routes and neighbours. */
static __always_inline bool
find_route(struct xdp_md *ctx, const struct packet *pkt, struct bpf_fib_lookup *way)
{
	way->family = AF_INET;
	way->tos = pkt->ip->tos;
	way->l4_protocol = pkt->ip->protocol;
	way->tot_len = bpf_ntohs(pkt->ip->tot_len); /* so that it minds the MTU */
	way->ifindex = ctx->ingress_ifindex;
	way->ipv4_src = pkt->ip->saddr;
	way->ipv4_dst = pkt->ip->daddr;
	return bpf_fib_lookup(ctx, way, sizeof(*way), 0) == BPF_FIB_LKUP_RET_SUCCESS &&
	       find_port(way->ifindex);
}

/* A packet to no service: perhaps a NAT backend's reply. */
static __always_inline enum gw_reason forward_reply(struct xdp_md *ctx, struct packet *pkt)
{
	struct gw_return *from = returns.lookup(&pkt->src);
	struct bpf_fib_lookup way = {};

	if (!from)
		return GW_NOT_OURS;
	if (!is_for_us(ctx, pkt->eth))
		return GW_OTHER_STATION;
	if (is_direct(&pkt->dst.address)) /* health checks above all */
		return GW_REPLY_DIRECT;
	if (pkt->ip->ttl <= 1)
		return GW_TTL_EXCEEDED;

	bool known = find_route(ctx, pkt, &way);

	rewrite(pkt, &pkt->ip->saddr, &pkt->l4->source, &from->vip, from->port);
	if (!known) /* the stack finds the next hop and decrements the time to live */
		return GW_REPLIED_BY_HOST;
	decrement_ttl(pkt->ip);
	send_out(ctx, pkt, way.ifindex, way.dmac, way.smac);
	return GW_REPLIED_NAT;
}
