// Part of include/clusterkit.hpp: A node's owner.
#pragma once

#include "cluster_ref.hpp"

namespace clusterkit {

/// A node of a cluster, embedded in this process, and its owner: every call is one of ClusterRef. Several nodes in one
/// process share one set of threads, which start with the first and end with the last.
///
/// Its destructor ends the node, unless there is another share: it closes files and sockets, without telling the other
/// nodes where stop() has not. It blocks for as long as closing takes, milliseconds as a rule, and for 11 s and what
/// the disk takes at most. When it returns, no callback of this node runs or will, and all of them are destroyed; a
/// hook or a completion that does not return within 5 s, and a log callback that does not within 1 s, are left to
/// themselves. Inside a callback of its own node it does not wait for that. Views live on.
class Cluster : public ClusterRef {
  public:
    /// No node; calls fail with InvalidArgument until another is moved here.
    Cluster() noexcept = default;
    /// Owns a share of the C interface. cluster: consumed.
    explicit Cluster(ck_cluster_t *cluster) noexcept : ClusterRef(cluster) {}
    Cluster(Cluster &&other) noexcept : ClusterRef(std::exchange(other.cluster_, nullptr)) {}
    Cluster &operator=(Cluster &&other) noexcept {
        Cluster taken(std::move(other));
        std::swap(cluster_, taken.cluster_);
        return *this;
    }
    ~Cluster() { ck_cluster_free(cluster_); }

    /// Makes a node with these options, of which it has a copy. Opens nothing before start().
    ///
    /// Errors: InvalidArgument; InvalidOption; Io when the system has no more threads to give; Version as check_abi().
    static Result<Cluster> create(const Options &options) {
        if (Result<void> checked = check_abi(); !checked) {
            return std::move(checked).error();
        }
        ck_cluster_t *cluster = nullptr;
        if (ck_error_t *error = ck_cluster_new(options.get(), &cluster)) {
            return Error::take(error);
        }
        return Cluster(cluster);
    }
    /// The same with every default, and with these values.
    ///
    /// Errors: as above.
    static Result<Cluster> create(std::initializer_list<OptionValue> values) {
        Result<Options> options = Options::create(values);
        if (!options) {
            return std::move(options).error();
        }
        return create(*options);
    }

    /// The node, borrowed: for hooks, and for whoever calls it and does not own it.
    ClusterRef ref() const noexcept { return *this; }
    /// Gives the share away: free it with ck_cluster_free.
    [[nodiscard]] ck_cluster_t *release() noexcept { return std::exchange(cluster_, nullptr); }
};

inline Cluster ClusterRef::share() const noexcept {
    return Cluster(ck_cluster_ref(cluster_));
}

} // namespace clusterkit
