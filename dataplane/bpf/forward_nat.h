/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Network address translation, both directions, without a connection table: forward, the
 * ring names the backend; back, `returns` names the VIP that the backend answers for.
 *
 * We act as a router: the time to live goes down by one.
 */

/* Write an address and a port over old ones, and mend the checksums. */
static __always_inline void translate(struct packet *pkt, void *field, __be16 *port,
				      const struct gw_address *new_address, __be16 new_port)
{
	u32 sum = readdress(pkt, field, new_address);

	l4_checksum_apply(pkt, sum_replace2(sum, *port, new_port));
	*port = new_port;
}

static __always_inline enum gw_reason
forward_nat(struct packet *pkt, const struct gw_backend *backend)
{
	struct l4_ports *ports = pkt->l4;

	if (ttl_of(pkt) <= 1)
		return GW_TTL_EXCEEDED;
	if (is_equal(&pkt->src.address, &backend->address))
		return GW_HAIRPIN;

	translate(pkt, destination_of(pkt), &ports->dest, &backend->address, backend->port);
	set_ttl(pkt, ttl_of(pkt) - 1);
	send_out(pkt, &backend->segment, backend->mac, backend->source_mac);
	return GW_FORWARDED_NAT;
}

static __always_inline bool is_direct(const struct gw_address *address)
{
	struct gw_prefix key = { .length = 8 * sizeof(*address), .address = *address };

	return direct.lookup(&key);
}

/*
 * The way to the client, from the kernel's own routes and neighbours, and the interface
 * that it leads out of; NULL if the kernel does not know all of it, or it is not ours.
 */
static __always_inline struct gw_port *
find_route(struct xdp_md *ctx, const struct packet *pkt, struct bpf_fib_lookup *way)
{
	struct gw_port *vlan = is_tagged(pkt) ? find_vlan(pkt) : NULL;

	way->ifindex = vlan ? vlan->ifindex : pkt->in.ifindex;
	way->l4_protocol = pkt->src.protocol;
	if (pkt->is_ipv6) {
		const struct ipv6hdr *ip = pkt->ip;

		way->family = AF_INET6;
		way->flowinfo = *(__be32 *)ip & bpf_htonl(FLOWINFO_MASK);
		way->tot_len = bpf_ntohs(ip->payload_len) + sizeof(*ip); /* it minds the MTU */
		__builtin_memcpy(way->ipv6_src, &ip->saddr, sizeof(ip->saddr));
		__builtin_memcpy(way->ipv6_dst, &ip->daddr, sizeof(ip->daddr));
	} else {
		const struct iphdr *ip = pkt->ip;

		way->family = AF_INET;
		way->tos = ip->tos;
		way->tot_len = bpf_ntohs(ip->tot_len);
		way->ipv4_src = ip->saddr;
		way->ipv4_dst = ip->daddr;
	}
	if (bpf_fib_lookup(ctx, way, sizeof(*way), 0) != BPF_FIB_LKUP_RET_SUCCESS)
		return NULL;
	return find_port(way->ifindex);
}

/* What is true of everything that NAT backends send to clients. GW_REPLIED_NAT: go on. */
static __always_inline enum gw_reason check_reply(const struct packet *pkt)
{
	if (!is_for_us(pkt))
		return GW_OTHER_STATION;
	if (is_direct(&pkt->dst.address)) /* health checks above all */
		return GW_REPLY_DIRECT;
	return ttl_of(pkt) <= 1 ? GW_TTL_EXCEEDED : GW_REPLIED_NAT;
}

/* Send what is translated already on its way, or let the stack do it. */
static __always_inline enum gw_reason send_reply(struct packet *pkt, const struct gw_port *port,
						 const struct bpf_fib_lookup *way,
						 enum gw_reason reason)
{
	if (!port) /* the stack finds the next hop and decrements the time to live */
		return GW_REPLIED_BY_HOST;
	set_ttl(pkt, ttl_of(pkt) - 1);
	send_out(pkt, &port->segment, way->dmac, way->smac);
	return reason;
}

/* A packet to no service: perhaps a NAT backend's reply. */
static __always_inline enum gw_reason forward_reply(struct xdp_md *ctx, struct packet *pkt)
{
	struct gw_endpoint key = pkt->src;
	struct gw_return *from = may_be_ours(&key.address) ? returns.lookup(&key) : NULL;
	struct l4_ports *ports = pkt->l4;
	struct bpf_fib_lookup way = {};

	if (!from)
		return GW_NOT_OURS;

	enum gw_reason reason = check_reply(pkt);

	if (reason != GW_REPLIED_NAT)
		return reason;
	if (pkt->is_first_fragment)
		remember_reply(pkt, &from->vip);
	struct gw_port *port = find_route(ctx, pkt, &way);

	translate(pkt, source_of(pkt), &ports->source, &from->vip, from->port);
	return send_reply(pkt, port, &way, reason);
}
