// A program that knows nothing of ClusterKit, and loads plugins that do: argv[1] and argv[2]. Each is opened twice, used, and
// unloaded; then all of it again.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition)                                                                     \
    do {                                                                                     \
        if (!(condition)) {                                                                  \
            const char *why = dlerror();                                                     \
            fprintf(stderr, "%d: %s: %s\n", __LINE__, #condition, why != NULL ? why : "");   \
            exit(1);                                                                         \
        }                                                                                    \
    } while (0)

struct plugin {
    void *handles[2];
    void (*start)(const char *id, const char *join, char *address, size_t size);
    void (*sees)(size_t members);
    void (*stop)(void);
    char address[300];
};

// ISO C has no conversion from an object pointer to a function pointer; POSIX has, by their representation.
static void load(void *function, void *handle, const char *name) {
    void *symbol = dlsym(handle, name);
    CHECK(symbol != NULL);
    memcpy(function, &symbol, sizeof symbol);
}

static void open_twice(struct plugin *plugin, const char *path) {
    for (int i = 0; i < 2; i++) {
        plugin->handles[i] = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        CHECK(plugin->handles[i] != NULL);
    }
    CHECK(plugin->handles[0] == plugin->handles[1]);
    load(&plugin->start, plugin->handles[0], "plugin_start");
    load(&plugin->sees, plugin->handles[0], "plugin_sees");
    load(&plugin->stop, plugin->handles[0], "plugin_stop");
}

// What the library has left behind, such as a handler for forks, must not be called where it is no more.
static void forks(void) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        _exit(7);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

int main(int argc, char **argv) {
    CHECK(argc == 3);
    for (int round = 0; round < 2; round++) {
        struct plugin plugins[2];
        memset(plugins, 0, sizeof plugins);
        for (int i = 0; i < 2; i++) {
            open_twice(&plugins[i], argv[1 + i]);
        }
        plugins[0].start("node-1", NULL, plugins[0].address, sizeof plugins[0].address);
        plugins[1].start("node-2", plugins[0].address, plugins[1].address, sizeof plugins[1].address);
        for (int i = 0; i < 2; i++) {
            plugins[i].sees(2);
        }
        // One of its two handles is left, and the plugin works.
        CHECK(dlclose(plugins[1].handles[0]) == 0);
        plugins[1].sees(2);
        plugins[1].stop();
        CHECK(dlclose(plugins[1].handles[1]) == 0);
        forks();
        // The other plugin goes on.
        plugins[0].sees(2);
        plugins[0].stop();
        for (int i = 0; i < 2; i++) {
            CHECK(dlclose(plugins[0].handles[i]) == 0);
        }
        forks();
    }
    return 0;
}
