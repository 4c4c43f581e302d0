/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The last steps of every way forward: the frame's addresses, its VLAN, and out.
 */

/* The stages say where to send by this; transmit() does it when they are through. */
static __always_inline void
send_out(struct packet *pkt, const struct gw_segment *out, const u8 *to, const u8 *from)
{
	__builtin_memcpy(pkt->eth->h_dest, to, ETH_ALEN);
	__builtin_memcpy(pkt->eth->h_source, from, ETH_ALEN);
	pkt->out = out;
}

/* Send the packet to the backend that was picked for it. */
static __always_inline void
send_to_backend(struct packet *pkt, const struct gw_backend *backend, u32 service_id)
{
	const struct gw_hop *hop = hop_to(backend);

	send_out(pkt, &hop->segment, hop->mac, hop->source_mac);
	pkt->service_id = service_id;
}

/* Write a tag and what follows it; the next one may be written over that. */
static __always_inline void write_tag(__be16 *wire, __be32 tag, __be16 following)
{
	__builtin_memcpy(wire, &tag, sizeof(tag)); /* not aligned to four bytes */
	wire[2] = following;
}

/*
 * Give the frame these tags. Each has the priority of the one that was in its place.
 * Nothing may look at the packet by old pointers afterwards.
 */
static __always_inline bool
change_tags(struct xdp_md *ctx, const struct packet *pkt, const __be32 *tags)
{
	int count = !!tags[0] + !!tags[1], surplus = (int)pkt->tag_count - count;
	u8 addresses[2 * ETH_ALEN];

	__builtin_memcpy(addresses, pkt->eth, sizeof(addresses));
	if (surplus && bpf_xdp_adjust_head(ctx, surplus * (int)sizeof(*tags)))
		return false;

	void *frame = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__be16 *first = frame + sizeof(addresses);
	__be16 type = pkt->is_ipv6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);

	/* Verifier: the packet may have been moved. There is more of it than this, always. */
	if ((void *)(first + 2 * VLAN_TAGS + 1) > end)
		return false;
	__builtin_memcpy(frame, addresses, sizeof(addresses));
	*first = type;
	if (tags[0])
		write_tag(first, tags[0] | pkt->priorities[0], type);
	if (tags[1])
		write_tag(first + 2, tags[1] | pkt->priorities[1], type);
	return true;
}

/* Let the packet out where the stages want it; returns `reason`, or why it cannot go. */
static __always_inline enum gw_reason
transmit(struct xdp_md *ctx, struct packet *pkt, enum gw_reason reason)
{
	const struct gw_segment out = *pkt->out;

	if ((pkt->in.tags[0] ^ out.tags[0]) | (pkt->in.tags[1] ^ out.tags[1])) {
		if (is_tagged(pkt) && !find_vlan(pkt))
			return GW_FOREIGN_VLAN;
		if (!change_tags(ctx, pkt, out.tags))
			return GW_NO_HEADROOM;
	}
	if (out.ifindex == pkt->in.ifindex) {
		pkt->action = XDP_TX;
		return reason;
	}
	pkt->action = transmit_ports.redirect_map(out.ifindex % GW_PORTS, XDP_DROP);
	return pkt->action == XDP_REDIRECT ? reason : GW_PORT_GONE;
}
