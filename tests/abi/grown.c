// Built with the header of today, run with a library whose structs have grown: this is that library, and not today's.
#include "check.h"

int main(void) {
    ck_cluster_t *cluster = make_node("node-1");
    OK(ck_cluster_start(cluster));
    // A struct of the program's own is filled as far as it goes, and no further.
    struct {
        ck_key_route_t route;
        unsigned char after[64];
    } own;
    memset(&own, 0x11, sizeof own);
    UNTIL(ck_partition_for_key(cluster, "k", 1) != CK_NO_PARTITION);
    OK(ck_lookup_key(cluster, "k", 1, NULL, &own.route, sizeof own.route));
    CHECK(own.route.revision > 0 && own.route.epoch > 0);
    for (size_t i = 0; i < sizeof own.after; i++) {
        CHECK(own.after[i] == 0x11);
    }
    // A program that knows the new field gives more room, and has it filled.
    OK(ck_lookup_key(cluster, "k", 1, NULL, &own.route, sizeof own));
    for (size_t i = 0; i < sizeof own.after; i++) {
        CHECK(own.after[i] == 0xa5);
    }
    // Nodes lie where their pointers say, not one after the other.
    ck_view_t *view = NULL;
    OK(ck_view_acquire(cluster, &view));
    const ck_node_t *node = ck_view_node(view, 0);
    CHECK(node != NULL && strcmp(node->id, "node-1") == 0 && ((const unsigned char *)(node + 1))[0] == 0xa5);
    ck_view_release(view);
    ck_cluster_free(cluster);
    return 0;
}
