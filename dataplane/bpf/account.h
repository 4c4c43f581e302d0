/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Counting. Per CPU, and nothing interrupts us with another packet: no atomics.
 */

static __always_inline void count(struct gw_counter *counter, const struct packet *pkt)
{
	counter->packets++;
	counter->bytes += pkt->bytes;
	counter->flows += begins_flow(pkt);
}

/* Count a packet that went to a backend. */
static __always_inline void account(const struct packet *pkt)
{
	u32 service_id = pkt->service_id, backend_id = pkt->backend_id;
	struct gw_counter *of_service = service_counters.lookup(&service_id);
	struct gw_counter *of_backend = backend_counters.lookup(&backend_id);

	if (of_service)
		count(of_service, pkt);
	if (of_backend)
		count(of_backend, pkt);
}
