/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Direct return: the backend holds the VIP itself and answers the client directly. Every
 * byte from the network header on stays.
 */

static __always_inline enum gw_reason
forward_dr(struct packet *pkt, const struct gw_backend *backend)
{
	send_out(pkt, &backend->segment, backend->mac, backend->source_mac);
	return GW_FORWARDED_DR;
}
