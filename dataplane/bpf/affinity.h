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
follow(struct gw_record *record, const struct gw_service *service, u64 now_ns,
       const bool may_write)
{
	struct gw_backend *backend = find_keeper(record->backend_id);

	if (!backend || backend->owner != record->owner ||
	    is_older_than(record->seen_ns, now_ns, service->idle_seconds * SECOND_NS))
		return NULL;
	if (may_write && is_to_be_refreshed(record->seen_ns, now_ns))
		record->seen_ns = now_ns;
	return backend;
}

/* The backend of a flow whose slot is in transition, or which is recorded anyway. */
static __always_inline struct gw_backend *
pick_by_record(const struct packet *pkt, const struct gw_service *service,
	       const struct gw_slot *slot, const bool may_write, u32 *id)
{
	struct gw_flow key = flow_of(pkt, service);
	struct gw_record *record = records.lookup(&key);
	struct gw_backend *backend = NULL;
	u64 now_ns = bpf_ktime_get_ns();
	/* A client may have had flows before the one that its SYN begins. */
	bool begins = begins_flow(pkt) && service->hash != GW_HASH_SOURCE;

	if (record && !begins)
		backend = follow(record, service, now_ns, may_write);
	if (backend) {
		*id = record->backend_id;
		note_choice(GW_RULE_RECORD, *id);
		return backend;
	}
	*id = slot->before_id;
	if (*id != GW_NO_BACKEND_ID && *id != GW_RECORDS_ONLY && !begins)
		backend = find_keeper(*id);
	note_choice(GW_RULE_BEFORE, *id);
	if (!backend) {
		*id = slot->backend_id;
		note_choice(GW_RULE_NOW, *id);
		backend = find_backend(*id);
	}
	if (backend && may_write && may_be_recorded(pkt)) {
		struct gw_record new_record = { now_ns, *id, backend->owner };

		records.update(&key, &new_record);
	}
	return backend;
}

/*
 * The backend of the packet's flow; NULL if nobody can serve. An ICMP error about a flow
 * is not a packet of it: it may not write a record.
 */
static __always_inline struct gw_backend *
pick_backend(const struct packet *pkt, const struct gw_service *service, const bool may_write,
	     u32 *id)
{
	struct gw_slot *slot = find_slot(pkt, service);

	if (!slot)
		return NULL;
	if (slot->before_id || service->affinity == GW_AFFINITY_ALWAYS)
		return pick_by_record(pkt, service, slot, may_write, id);
	*id = slot->backend_id;
	note_choice(GW_RULE_SLOT, *id);
	return find_backend(*id);
}
