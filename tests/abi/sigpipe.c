// A host with the default disposition of SIGPIPE dies of a write to a closed connection. The library's must not
// be such: peers and HTTP clients go away whenever they like.
#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROUNDS 300

// Asks for more than the socket's buffer holds, and goes away at once: the node's writes find nobody.
static void ask_and_leave(int port, int round) {
    static const char request[] = "GET /partitions HTTP/1.1\r\nHost: node\r\n\r\n";
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int connection = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connection >= 0);
    CHECK(connect(connection, (struct sockaddr *)&address, sizeof address) == 0);
    for (int i = 0; i < 20; i++) {
        if (send(connection, request, sizeof request - 1, MSG_NOSIGNAL) < 0) {
            break;
        }
    }
    if (round % 2 == 0) {
        // The node learns of the end of its input first, and of a reset only when it writes.
        shutdown(connection, SHUT_WR);
        char byte;
        CHECK(recv(connection, &byte, 1, 0) >= 0);
    }
    // What was not read makes the close a reset.
    close(connection);
}

int main(void) {
    struct sigaction action;
    CHECK(sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL);
    ck_cluster_t *cluster = make_node("node-1");
    OK(ck_cluster_start(cluster));
    char address[CK_ADDRESS_SIZE];
    OK(ck_cluster_http_addr(cluster, address, sizeof address));
    int port = atoi(strrchr(address, ':') + 1);
    for (int round = 0; round < ROUNDS; round++) {
        ask_and_leave(port, round);
    }
    CHECK(ck_is_leader(cluster));
    ck_cluster_free(cluster);
    return 0;
}
