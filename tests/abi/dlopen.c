// Loaded and unloaded at run time, while a node runs: the code stays where the threads need it.
#include <clusterkit.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                     \
    do {                                                                                     \
        if (!(condition)) {                                                                  \
            const char *why = dlerror();                                                     \
            fprintf(stderr, "%d: %s: %s\n", __LINE__, #condition, why != NULL ? why : "");   \
            exit(1);                                                                         \
        }                                                                                    \
    } while (0)

// ISO C has no conversion from an object pointer to a function pointer; POSIX has, by their representation.
#define LOAD(library, name)                                   \
    do {                                                      \
        void *symbol = dlsym((library), #name);               \
        CHECK(symbol != NULL);                                \
        memcpy(&name##_p, &symbol, sizeof symbol);            \
    } while (0)

int main(int argc, char **argv) {
    CHECK(argc == 2);
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    CHECK(library != NULL);
    ck_error_t *(*ck_options_new_p)(ck_options_t **);
    ck_error_t *(*ck_options_load_json_p)(ck_options_t *, const char *, size_t);
    void (*ck_options_free_p)(ck_options_t *);
    ck_error_t *(*ck_cluster_new_p)(const ck_options_t *, ck_cluster_t **);
    ck_error_t *(*ck_cluster_start_p)(ck_cluster_t *);
    bool (*ck_is_leader_p)(const ck_cluster_t *);
    void (*ck_cluster_free_p)(ck_cluster_t *);
    LOAD(library, ck_options_new);
    LOAD(library, ck_options_load_json);
    LOAD(library, ck_options_free);
    LOAD(library, ck_cluster_new);
    LOAD(library, ck_cluster_start);
    LOAD(library, ck_is_leader);
    LOAD(library, ck_cluster_free);

    const char *json = "{\"node_id\": \"node-1\", \"http_addr\": \"127.0.0.1:0\", \"data_dir\": \"\"}";
    ck_options_t *options = NULL;
    ck_cluster_t *cluster = NULL;
    CHECK(ck_options_new_p(&options) == NULL);
    CHECK(ck_options_load_json_p(options, json, strlen(json)) == NULL);
    CHECK(ck_cluster_new_p(options, &cluster) == NULL);
    ck_options_free_p(options);
    CHECK(ck_cluster_start_p(cluster) == NULL);
    CHECK(dlclose(library) == 0);
    // The threads are still there, and so is the code.
    CHECK(ck_is_leader_p(cluster));
    ck_cluster_free_p(cluster);
    library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    CHECK(library != NULL && dlclose(library) == 0);
    return 0;
}
