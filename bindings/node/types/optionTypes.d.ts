/** Every option of a node. */
export interface NodeOptionValues {
    /**
     * This node's name in the cluster. Unique, and the same after every restart. 1 to 255 of A-Z a-z 0-9 . _ : -, and neither . nor
     * .. Required. Environment: CLUSTERKIT_NODE_ID.
     */
    nodeId: string;
    /**
     * Where the node listens, for HTTP and for peers. HTTP_PORT=8080 means ":8080". :port, host:port or [ipv6]:port; port 0 asks
     * the system. Required. Environment: CLUSTERKIT_HTTP_ADDR.
     */
    httpAddr: string;
    /**
     * The display name of the node. 1 to 255 bytes, no control characters, no blanks at either end. Default: from nodeId: node-1,
     * server-1 and 1 become Server-1, any other id stays. Environment: CLUSTERKIT_NODE_NAME.
     */
    nodeName?: string | undefined;
    /**
     * The address of a separate listener for peers. :port, host:port or [ipv6]:port; port 0 asks the system. Default: peers use
     * httpAddr. Environment: CLUSTERKIT_RAFT_ADDR.
     */
    raftAddr?: string | undefined;
    /**
     * The address that other nodes and clients dial. Without a port it takes the port that the node listens on. Host or host:port,
     * no wildcard. Default: derived from httpAddr and the machine, never a bare port. Environment: CLUSTERKIT_ADVERTISE_ADDR.
     */
    advertiseAddr?: string | undefined;
    /**
     * Members to join through. One reachable address is enough, and a DNS name may have several records. Up to 256 of host:port,
     * separated by commas. Default: none. Environment: CLUSTERKIT_JOIN_ADDRS.
     */
    joinAddrs?: string | readonly string[] | undefined;
    /**
     * How long a node tries to join, with backoff, before its start fails. 10ms to 168h. A number is milliseconds. Default: 30s.
     * Environment: CLUSTERKIT_JOIN_TIMEOUT.
     */
    joinTimeout?: number | string | undefined;
    /**
     * Whether this node may create a new cluster. Never does so when dataDir holds one. True or false. Default: true when there is
     * no join address and dataDir is empty. Environment: CLUSTERKIT_BOOTSTRAP.
     */
    bootstrap?: boolean | undefined;
    /**
     * How many nodes, all configured alike and with each other in joinAddrs, bootstrap a cluster together. The one with the
     * smallest nodeId does it, once so many have found each other. Only where there is no cluster yet. 1 to 1000. Default: none.
     * Environment: CLUSTERKIT_BOOTSTRAP_EXPECT.
     */
    bootstrapExpect?: number | undefined;
    /**
     * The cluster's name. A node of another name is refused. 1 to 255 bytes, no control characters, no blanks at either end.
     * Default: clusterkit-cluster. Environment: CLUSTERKIT_CLUSTER_NAME.
     */
    clusterName?: string | undefined;
    /**
     * How many partitions there are. Fixed when the cluster is created; a joiner that asks for another number is refused. 1 to
     * 65536. Default: the cluster's; 64 for a new cluster. Environment: CLUSTERKIT_PARTITION_COUNT.
     */
    partitionCount?: number | undefined;
    /**
     * How many nodes hold each partition, the primary included. With fewer nodes every node holds it. 1 to 100. Default: the
     * cluster's; 3 for a new cluster. Environment: CLUSTERKIT_REPLICATION_FACTOR.
     */
    replicationFactor?: number | undefined;
    /**
     * Where the log, the snapshot and the node's identity are kept. Empty: in memory, lost on exit. A path, without quotes, a ~ or
     * blanks around it. Default: ./clusterkit-data. Environment: CLUSTERKIT_DATA_DIR.
     */
    dataDir?: string | undefined;
    /**
     * How often the node sends a heartbeat to the leader, which renews its lease. A third of the cluster's lease is used where that
     * is shorter. 10ms to 10m. A number is milliseconds. Default: from timing: 500ms, with fast 100ms; less where a short lease or
     * failure timeout is set. Environment: CLUSTERKIT_SYNC_INTERVAL.
     */
    syncInterval?: number | string | undefined;
    /**
     * How long a node may act as primary without contact with the leader. 30ms to 1h. A number is milliseconds. Default: 3 x
     * syncInterval, or 2 x timing.electionMax + syncInterval if that is longer: 1500ms; at most three quarters of a failure timeout
     * that is set. Environment: CLUSTERKIT_LEASE_TTL.
     */
    leaseTtl?: number | string | undefined;
    /** When a silent node counts as failed. */
    healthCheck?: {
        /**
         * Whether silent nodes are declared failed and their partitions given to other nodes. True or false. Default: true.
         * Environment: CLUSTERKIT_HEALTH_CHECK_ENABLED.
         */
        enabled?: boolean | undefined;
        /**
         * How often the leader checks for silent nodes. A node is failed after interval x failure_threshold. 1ms to 1h. A number is
         * milliseconds. Default: syncInterval, or longer where the failure timeout has to outlast the lease or the timeout: 500ms.
         * Environment: CLUSTERKIT_HEALTH_CHECK_INTERVAL.
         */
        interval?: number | string | undefined;
        /**
         * How long one heartbeat waits for the leader's answer before it is retried. 1ms to 1h. A number is milliseconds. Default:
         * syncInterval, or a third of the lease if that is shorter: 500ms. Environment: CLUSTERKIT_HEALTH_CHECK_TIMEOUT.
         */
        timeout?: number | string | undefined;
        /**
         * After how many intervals without a heartbeat a node is failed. The default of 4 is raised where four short intervals leave
         * no room for a lease. 1 to 1000. Default: 4. Environment: CLUSTERKIT_HEALTH_CHECK_FAILURE_THRESHOLD.
         */
        failureThreshold?: number | undefined;
    };
    /**
     * How long a failed node may stay away before its copies are replaced on other nodes. 0s to 168h. A number is milliseconds.
     * Default: 10s. Environment: CLUSTERKIT_REBALANCE_DELAY.
     */
    rebalanceDelay?: number | string | undefined;
    /**
     * How long copying one partition may take before the migration is abandoned and planned again. 10ms to 168h. A number is
     * milliseconds. Default: 5m. Environment: CLUSTERKIT_MIGRATION_TIMEOUT.
     */
    migrationTimeout?: number | string | undefined;
    /** How many partitions one node copies at a time. 1 to 1000. Default: 4. Environment: CLUSTERKIT_MAX_CONCURRENT_MIGRATIONS. */
    maxConcurrentMigrations?: number | undefined;
    /**
     * How many partitions all nodes together copy at a time; 0 for any number. 0 to 1000000. Default: 0. Environment:
     * CLUSTERKIT_MAX_CLUSTER_MIGRATIONS.
     */
    maxClusterMigrations?: number | undefined;
    /**
     * The profile of Raft's timings: lan (heartbeat 50ms, election 150ms to 300ms), fast (30ms, 75ms to 150ms) or wan (250ms, 1s to
     * 2s). Lan, fast, wan. Default: lan. Environment: CLUSTERKIT_TIMING.
     */
    timing?: 'lan' | 'fast' | 'wan' | undefined | {
        /** The profile. */
        profile?: 'lan' | 'fast' | 'wan' | undefined;
        /**
         * How often the leader sends Raft heartbeats to the voters. Must exceed a round trip plus the slowest disk sync. 5ms to 1m. A
         * number is milliseconds. Default: from timing: 50ms; what suits the other two where they are set. Environment:
         * CLUSTERKIT_TIMING_HEARTBEAT.
         */
        heartbeat?: number | string | undefined;
        /**
         * The shortest election timeout: how long a voter waits for the leader before it stands for election. 10ms to 10m. A number
         * is milliseconds. Default: from timing: 150ms; what suits the other two where they are set. Environment:
         * CLUSTERKIT_TIMING_ELECTION_MIN.
         */
        electionMin?: number | string | undefined;
        /**
         * The longest election timeout; each voter draws its own between the two. 10ms to 10m. A number is milliseconds. Default:
         * from timing: 300ms; what suits the other two where they are set. Environment: CLUSTERKIT_TIMING_ELECTION_MAX.
         */
        electionMax?: number | string | undefined;
    };
    /**
     * The maximum number of voters; the other members are learners. The number of voters is kept odd where possible. 1 to 15.
     * Default: 5. Environment: CLUSTERKIT_MAX_VOTERS.
     */
    maxVoters?: number | undefined;
    /**
     * Where the application's own services on this node are found. ":9080" means the node's own host. Up to 64 of name=:port or
     * name=host:port, separated by commas. Default: none. Environment: CLUSTERKIT_SERVICES.
     */
    services?: Readonly<Record<string, string>> | undefined;
    /**
     * This node's share of the partitions relative to other nodes; 0 takes none. 0 to 10000. Default: 100. Environment:
     * CLUSTERKIT_WEIGHT.
     */
    weight?: number | undefined;
    /**
     * The failure zone that this node is in. Copies of one partition go to different zones. 1 to 255 of A-Z a-z 0-9 . _ : -, and
     * neither . nor .. Default: none. Environment: CLUSTERKIT_ZONE.
     */
    zone?: string | undefined;
    /**
     * Free labels that other nodes and clients can read. Up to 64 of name=value, separated by commas. Default: none. Environment:
     * CLUSTERKIT_LABELS.
     */
    labels?: Readonly<Record<string, string>> | undefined;
    /** How many threads at most run a batch of partition hooks. 1 to 1000. Default: 50. Environment: CLUSTERKIT_HOOK_CONCURRENCY. */
    hookConcurrency?: number | undefined;
    /**
     * The number of threads of the runtime that all nodes of the process share. The first node that is created decides; a client
     * that is created before it takes the default. 1 to 64. Default: half as many as processors, 1 to 4. Environment:
     * CLUSTERKIT_RUNTIME_THREADS.
     */
    runtimeThreads?: number | undefined;
    /**
     * The secret that all members share, from which the keys of members and the tokens of clients are derived. During a change of
     * it two, separated by a comma: the new one and the one before. clusterkit secret makes one. 43 to 1024 printable characters,
     * or two such texts separated by a comma. Default: none. Environment: CLUSTERKIT_CLUSTER_SECRET.
     */
    clusterSecret?: string | undefined;
    /**
     * A file with what clusterSecret would be, in one line or two. It is read again when it changes. A path, without quotes, a ~ or
     * blanks around it. Default: none. Environment: CLUSTERKIT_CLUSTER_SECRET_FILE.
     */
    clusterSecretFile?: string | undefined;
    /** Transport security. */
    tls?: {
        /**
         * A PEM file with the node's certificate and what leads from it to tls.ca. It is read again when it changes. A path, without
         * quotes, a ~ or blanks around it. Default: none. Environment: CLUSTERKIT_TLS_CERT.
         */
        cert?: string | undefined;
        /**
         * A PEM file with the private key of tls.cert. A path, without quotes, a ~ or blanks around it. Default: none. Environment:
         * CLUSTERKIT_TLS_KEY.
         */
        key?: string | undefined;
        /**
         * A PEM file with the certificates of the authority that signs those of members and clients. A path, without quotes, a ~ or
         * blanks around it. Default: none. Environment: CLUSTERKIT_TLS_CA.
         */
        ca?: string | undefined;
    };
    /**
     * Whether a node without clusterSecret and tls may listen beyond loopback, where it obeys whoever reaches its port. True or
     * false. Default: false. Environment: CLUSTERKIT_INSECURE.
     */
    insecure?: boolean | undefined;
    /**
     * Whether members and clients without a proof are accepted as well, while the members of a running cluster are given
     * clusterSecret or tls one after the other. True or false. Default: false. Environment: CLUSTERKIT_SECURITY_ROLLOUT.
     */
    securityRollout?: boolean | undefined;
    /**
     * The networks in which the addresses of members may be; without any, everywhere. A node that names another one may not join.
     * Up to 256 of address/length, separated by commas. Default: none. Environment: CLUSTERKIT_ALLOWED_CIDRS.
     */
    allowedCidrs?: string | readonly string[] | undefined;
    /**
     * Custom data under keys that begin with this only members write: HTTP clients read it at most. 1 to 255 bytes, no control
     * characters, no blanks at either end. Default: none. Environment: CLUSTERKIT_RESERVED_DATA_PREFIX.
     */
    reservedDataPrefix?: string | undefined;
    /**
     * The least severe messages that reach the log callback. Off, error, warn, info, debug, trace. Default: info. Environment:
     * CLUSTERKIT_LOG_LEVEL.
     */
    logLevel?: 'off' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | undefined;
}
/** Every option of a client. */
export interface ClientOptionValues {
    /**
     * Addresses of members. One that answers is enough, and a DNS name may have several records. Up to 256 of host:port, separated
     * by commas. Required.
     */
    addrs: string | readonly string[];
    /**
     * The name that the cluster must have. Without it the cluster of the first answer is followed. 1 to 255 bytes, no control
     * characters, no blanks at either end. Default: none.
     */
    clusterName?: string | undefined;
    /**
     * What clusterkit token has made for this client. It is needed where the cluster has a secret, and is never shown. 1 to 4096
     * printable characters. Default: none.
     */
    token?: string | undefined;
    /**
     * Whether the addresses that members advertise are used too. Set it to false where they cannot be dialled from here. True or
     * false. Default: true.
     */
    memberAddrs?: boolean | undefined;
    /**
     * How long a member may hold a poll while nothing changes. A member that is cut off from the others is noticed after so long.
     * 100ms to 1m. A number is milliseconds. Default: 5s.
     */
    pollTimeout?: number | string | undefined;
    /**
     * The shortest time between two answers that are asked for while the cluster keeps changing. The first change after a pause is
     * never delayed. 0s to 1m. A number is milliseconds. Default: 100ms.
     */
    updateInterval?: number | string | undefined;
    /**
     * How long a name may take to be looked up, and then a connection to be made. 10ms to 1m. A number is milliseconds. Default:
     * 2s.
     */
    connectTimeout?: number | string | undefined;
    /**
     * How long an answer may take, beyond what the member was asked to wait; a long answer has a second more for each 64 KiB. 10ms
     * to 1m. A number is milliseconds. Default: 5s.
     */
    requestTimeout?: number | string | undefined;
    /**
     * The first pause after an address has failed. It doubles with each further failure, and up to half of it is left out at
     * random. 1ms to 1m. A number is milliseconds. Default: 100ms.
     */
    retryMin?: number | string | undefined;
    /** The longest such pause. 1ms to 1h. A number is milliseconds. Default: 5s. */
    retryMax?: number | string | undefined;
    /**
     * The longest answer that is read, in bytes. 65,536 partitions with short node ids take about 10 MB. 65536 to 1073741824.
     * Default: 67108864.
     */
    maxResponseBytes?: number | undefined;
    /**
     * A PEM file with the authority of the members' certificates. With it the client speaks TLS. A member is known by its
     * certificate for clusterName, or for the cluster that tlsCert names; without both, by its host. The files are read again when
     * they change. A path, without quotes, a ~ or blanks around it. Default: none.
     */
    tlsCa?: string | undefined;
    /**
     * A PEM file with the client's own certificate, where the cluster asks for one. A path, without quotes, a ~ or blanks around
     * it. Default: none.
     */
    tlsCert?: string | undefined;
    /** A PEM file with the private key of tlsCert. A path, without quotes, a ~ or blanks around it. Default: none. */
    tlsKey?: string | undefined;
    /**
     * Whether TLS is spoken with whoever answers, without any verification. For tests: whoever is in between reads and changes
     * everything. True or false. Default: false.
     */
    insecure?: boolean | undefined;
    /** The least severe messages that reach the log callback. Off, error, warn, info, debug, trace. Default: info. */
    logLevel?: 'off' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | undefined;
}
