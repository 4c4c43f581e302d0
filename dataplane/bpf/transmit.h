/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The last step of every way forward: the frame's addresses, and out.
 */

static __always_inline void
send_out(struct xdp_md *ctx, struct packet *pkt, u32 ifindex, const u8 *to, const u8 *from)
{
	__builtin_memcpy(pkt->eth->h_dest, to, ETH_ALEN);
	__builtin_memcpy(pkt->eth->h_source, from, ETH_ALEN);

	if (ifindex == ctx->ingress_ifindex) {
		pkt->action = XDP_TX;
		return;
	}
	/* An interface that has left the map since: nothing better than to drop it is possible. */
	pkt->action = transmit_ports.redirect_map(ifindex % GW_PORTS, XDP_DROP);
}
