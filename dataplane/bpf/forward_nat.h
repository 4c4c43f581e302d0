/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Network address translation, both directions, without a connection table: forward, the
 * ring names the backend; back, the directory names the VIP that the backend answers for.
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
forward_nat(struct packet *pkt, const struct gw_backend *backend, u32 service_id)
{
	struct l4_ports *ports = pkt->l4;

	if (ttl_of(pkt) <= 1)
		return GW_TTL_EXCEEDED;
	if (is_equal(&pkt->src.address, &backend->address))
		return GW_HAIRPIN;
	if (backend->is_tracked && may_be_recorded(pkt))
		track(pkt, backend);

	translate(pkt, destination_of(pkt), &ports->dest, &backend->address,
		  port_at(backend, ports->dest));
	set_ttl(pkt, ttl_of(pkt) - 1);
	send_to_backend(pkt, backend, service_id);
	return GW_FORWARDED_NAT;
}

/* Send what is translated already on its way, or let the stack do it. */
static __always_inline enum gw_reason
send_reply(struct packet *pkt, const struct gw_way *way, enum gw_reason reason)
{
	if (!way) /* the stack finds the next hop and decrements the time to live */
		return GW_REPLIED_BY_HOST;
	set_ttl(pkt, ttl_of(pkt) - 1);
	send_out(pkt, &way->segment, way->mac, way->source_mac);
	return reason;
}

/* A packet to no service: perhaps a NAT backend's reply. */
static __always_inline enum gw_reason forward_reply(struct xdp_md *ctx, struct packet *pkt)
{
	struct gw_return *from = find_return(&pkt->src);
	struct l4_ports *ports = pkt->l4;
	const struct gw_way *way;
	struct gw_endpoint speaker;

	if (!from)
		return GW_NOT_OURS;

	enum gw_reason reason = find_way(ctx, pkt, &way);

	if (reason != GW_REPLIED_NAT)
		return reason;
	if (!find_speaker(pkt, from, &pkt->dst, &pkt->src, true, &speaker))
		return GW_REPLY_UNKNOWN;
	if (ttl_of(pkt) <= 1)
		return GW_TTL_EXCEEDED;
	if (pkt->first_fragment)
		note_reply_fragment(pkt, &speaker.address);
	translate(pkt, source_of(pkt), &ports->source, &speaker.address, speaker.port);
	return send_reply(pkt, way, reason);
}
