/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Who keeps a flow when its slot changes hands.
 *
 * Only slots in transition cost anything: a flow that began under the table of now has a
 * record that says so, and every other packet belongs to a flow from before.
 */

static __always_inline struct gw_flow
flow_of(const struct packet *pkt, const struct gw_service *service)
{
	bool by_source = service->hash == GW_HASH_SOURCE;

	return (struct gw_flow){
		.client = pkt->src.address,
		.service_id = service->id,
		.client_port = by_source ? 0 : pkt->src.port,
		.port = by_source ? 0 : pkt->dst.port,
	};
}

/* A backend that may keep flows: it is up, or draining. */
static __always_inline struct gw_backend *find_keeper(u32 id)
{
	struct gw_backend *backend = find_backend(id);

	return backend && !backend->is_down ? backend : NULL;
}

/* The backend that a record names, unless the record is stale or the backend cannot serve. */
static __always_inline struct gw_backend *
follow(const struct gw_record *record, const struct gw_service *service, u64 now_ns)
{
	struct gw_backend *backend = find_keeper(record->backend_id);

	if (!backend || backend->owner != record->owner ||
	    is_older_than(record->seen_ns, now_ns, service->idle_seconds * SECOND_NS))
		return NULL;
	return backend;
}

/* That backend `pkt->backend_id` serves the flow is to be recorded, or goes on being so. */
static __always_inline void note_record(struct packet *pkt, const struct gw_flow *flow,
					const struct gw_backend *backend, u64 now_ns)
{
	struct gw_traces *left = traces_of(pkt);

	if (!left)
		return;
	left->kinds |= GW_TRACE_RECORD;
	left->flow = *flow;
	left->record = (struct gw_record){ now_ns, pkt->backend_id, backend->owner };
}

/* The backend of a flow whose slot is in transition, or which is recorded anyway. */
static __always_inline struct gw_backend *
pick_by_record(struct packet *pkt, const struct gw_service *service,
	       const struct gw_slot *slot, const bool may_write)
{
	struct gw_flow key = flow_of(pkt, service);
	struct gw_record *record = records.lookup(&key);
	struct gw_backend *backend = NULL;
	u64 now_ns = bpf_ktime_get_ns();
	/* A client may have had flows before the one that its SYN begins. */
	bool begins = begins_flow(pkt) && service->hash != GW_HASH_SOURCE;
	u32 before_id = slot->before_id;

	if (record && !begins)
		backend = follow(record, service, now_ns);
	if (backend) {
		pkt->backend_id = record->backend_id;
		note_choice(GW_RULE_RECORD, pkt->backend_id);
		if (may_write && is_older_than(record->seen_ns, now_ns, REFRESH_NS))
			note_record(pkt, &key, backend, now_ns);
		return backend;
	}
	pkt->backend_id = before_id;
	if (before_id != GW_NO_BACKEND_ID && before_id != GW_RECORDS_ONLY && !begins)
		backend = find_keeper(before_id);
	note_choice(GW_RULE_BEFORE, before_id);
	if (!backend) {
		pkt->backend_id = slot->backend_id;
		note_choice(GW_RULE_NOW, pkt->backend_id);
		backend = find_backend(pkt->backend_id);
	}
	if (backend && may_write && may_be_recorded(pkt))
		note_record(pkt, &key, backend, now_ns);
	return backend;
}

/*
 * The backend of the packet's flow, whose id is noted; NULL if nobody can serve. An ICMP error
 * about a flow is not a packet of it: it may not leave a record.
 */
static __always_inline struct gw_backend *
pick_backend(struct packet *pkt, const struct gw_service *service, const bool may_write)
{
	struct gw_slot *slot = find_slot(pkt, service);

	if (!slot)
		return NULL;
	if (slot->before_id || service->affinity == GW_AFFINITY_ALWAYS)
		return pick_by_record(pkt, service, slot, may_write);
	pkt->backend_id = slot->backend_id;
	note_choice(GW_RULE_SLOT, pkt->backend_id);
	return find_backend(pkt->backend_id);
}
