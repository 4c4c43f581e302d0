/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The maps. LIMIT_… come from the configuration (source.py defines them).
 *
 * A packet reads the directory, then slots, then backends; the controller fills them in the
 * other order, so that no packet meets a reference to nothing.
 */

BPF_F_TABLE("array", u32, struct gw_gates, gates, 1, BPF_F_MMAPABLE);

/*
 * VIPs, services and NAT backends: a hash table of our own, in two arrays. The kernel's
 * costs ten times as much, since it is called, and hashes bytes. directory.h reads it.
 */
BPF_F_TABLE("array", u32, u64, directory, LIMIT_DIRECTORY, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct gw_entry, endpoints, LIMIT_ENDPOINTS, BPF_F_MMAPABLE);

/* All rings, one after the other; the controller maps them into its memory. */
BPF_F_TABLE("array", u32, struct gw_slot, slots, LIMIT_SLOTS, BPF_F_MMAPABLE);

/* Written in place, and yet never seen half-written: backends.py says how. */
BPF_F_TABLE("array", u32, struct gw_backend, backends, LIMIT_BACKENDS, BPF_F_MMAPABLE);

BPF_F_TABLE("lpm_trie", struct gw_prefix, u32, direct, GW_DIRECT_PREFIXES, BPF_F_NO_PREALLOC);

/* Flows of slots in transition; of services with GW_AFFINITY_ALWAYS, all. */
BPF_TABLE("lru_hash", struct gw_flow, struct gw_record, records, LIMIT_RECORDS);

/* Flows to NAT backends of which the address alone does not say whose replies they are. */
BPF_TABLE("lru_hash", struct gw_reply_flow, struct gw_speaker, replies, LIMIT_REPLIES);

BPF_TABLE("lru_hash", struct gw_datagram, struct gw_fragment, fragments, GW_FRAGMENTS);

/* On its way through the stages; the program's own memory, since its stack is full. */
BPF_TABLE("percpu_array", u32, struct gw_traces, traces, 1);

BPF_TABLE("percpu_array", u32, struct gw_way, ways, GW_WAYS);

/*
 * Of services that are watched. Not one for each CPU: where a virtual interface is, the
 * packets of a flow may be on several. What two write at a time counts for one of them.
 */
BPF_TABLE("array", u32, struct gw_handshake, handshakes, GW_HANDSHAKES);

BPF_TABLE("array", u32, struct gw_port, ports, GW_PORTS);

/* Interfaces of VLANs once more, to be found by what a frame is tagged with. */
BPF_TABLE("hash", struct gw_segment, struct gw_port, vlans, GW_VLANS);

/* Virtual routers' MACs that are ours now; to 1: only being there counts. */
BPF_TABLE("hash", struct gw_station, u32, stations, GW_STATIONS);

BPF_DEVMAP(transmit_ports, GW_PORTS);

BPF_TABLE("percpu_array", u32, struct gw_counter, reason_counters, GW_REASON_COUNT);
BPF_TABLE("percpu_array", u32, struct gw_counter, service_counters, LIMIT_SERVICES);
BPF_TABLE("percpu_array", u32, struct gw_counter, backend_counters, LIMIT_BACKENDS);
BPF_TABLE("percpu_array", u32, struct gw_handshakes, handshake_counters, LIMIT_BACKENDS);

/* Of a dry run, dry_run.h. The program that serves does not name it, so it is not kept. */
BPF_TABLE("array", u32, struct gw_decision, decisions, 1);
