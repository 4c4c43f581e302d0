/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Direct return: the backend holds the VIP itself and answers the client directly. Every
 * byte from the network header on stays.
 */

static __always_inline enum gw_reason
forward_dr(struct packet *pkt, const struct gw_backend *backend, u32 service_id)
{
	send_to_backend(pkt, backend, service_id);
	return GW_FORWARDED_DR;
}
