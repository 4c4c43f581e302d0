/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What a packet leaves behind when it has got out. Nothing else writes of flows and datagrams,
 * or counts for a backend: what is dropped, however late, leaves no trace and is nobody's.
 */

static __always_inline void write_record(struct gw_traces *left)
{
	struct gw_record *known = records.lookup(&left->flow);

	if (known && known->backend_id == left->record.backend_id &&
	    known->owner == left->record.owner)
		known->seen_ns = left->record.seen_ns;
	else
		records.update(&left->flow, &left->record);
}

static __always_inline void write_speaker(struct gw_traces *left)
{
	struct gw_speaker *known = replies.lookup(&left->reply_flow);

	if (known && is_equal(&known->vip, &left->speaker.vip) &&
	    known->port == left->speaker.port)
		known->seen_ns = left->speaker.seen_ns;
	else
		replies.update(&left->reply_flow, &left->speaker);
}

static __always_inline void leave_traces(const struct packet *pkt)
{
	struct gw_traces *left = pkt->traces;

	if (pkt->backend_id)
		account(pkt);
	if (!left)
		return;
	if (left->kinds & GW_TRACE_RECORD)
		write_record(left);
	if (left->kinds & GW_TRACE_SPEAKER)
		write_speaker(left);
	if (left->kinds & GW_TRACE_FRAGMENT)
		fragments.update(&left->datagram, &left->fragment);
	if (left->kinds & GW_TRACE_HANDSHAKE)
		write_handshake(left, begins_flow(pkt));
}
