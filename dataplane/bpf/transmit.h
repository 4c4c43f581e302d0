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
	pkt->out = *out;
}

static __always_inline bool changes_vlan(const struct packet *pkt)
{
	return (pkt->in.tags[0] ^ pkt->out.tags[0]) | (pkt->in.tags[1] ^ pkt->out.tags[1]);
}

/*
 * Give the frame the tags of where it goes. A tag has the priority of the one that was in
 * its place. Nothing may look at the packet by old pointers afterwards.
 */
static __always_inline bool change_tags(struct xdp_md *ctx, const struct packet *pkt)
{
	const __be32 *tags = pkt->out.tags;
	int count = !!tags[0] + !!tags[1], surplus = (int)pkt->tag_count - count;
	u8 addresses[2 * ETH_ALEN];

	__builtin_memcpy(addresses, pkt->eth, sizeof(addresses));
	if (surplus && bpf_xdp_adjust_head(ctx, surplus * (int)sizeof(*tags)))
		return false;

	void *frame = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__be32 *tag = frame + sizeof(addresses);
	__be16 type = pkt->is_ipv6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);

	/* Verifier: the packet may have been moved. There is more of it than this, always. */
	if ((void *)(tag + VLAN_TAGS + 1) > end)
		return false;
	__builtin_memcpy(frame, addresses, sizeof(addresses));
	if (count > 0)
		tag[0] = tags[0] | pkt->priorities[0];
	if (count > 1)
		tag[1] = tags[1] | pkt->priorities[1];
	*(__be16 *)(count == 0 ? tag : count == 1 ? tag + 1 : tag + 2) = type;
	return true;
}

/* Let the packet out where the stages want it; returns `reason`, or why it cannot go. */
static __always_inline enum gw_reason
transmit(struct xdp_md *ctx, struct packet *pkt, enum gw_reason reason)
{
	if (changes_vlan(pkt)) {
		if (is_tagged(pkt) && !find_vlan(pkt))
			return GW_FOREIGN_VLAN;
		if (!change_tags(ctx, pkt))
			return GW_NO_HEADROOM;
	}
	if (pkt->out.ifindex == pkt->in.ifindex)
		pkt->action = XDP_TX;
	else /* One that has left the map since: nothing better than to drop it is possible. */
		pkt->action = transmit_ports.redirect_map(pkt->out.ifindex % GW_PORTS, XDP_DROP);
	return reason;
}
