/* A very small PLC on libmodbus, by people who never saw this project: counts one part, waits for its OK,
 * acknowledges it, lets it pass. The layout comes from the compiler's command line.
 *
 *   libmodbus_plc client PORT    connects to the line, writes its block and reads the line's
 *   libmodbus_plc server         listens at any free port and prints it
 */
#include <errno.h>
#include <modbus/modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <time.h>
#include <unistd.h>

enum { SCAN_US = 5000, SCANS = 2000, SESSION = 77 };

static uint16_t tx[PLC_SIZE], rx[LINE_SIZE];
static uint16_t sequence, first_beat;
static int heard, beats, taken;

static void put32(uint16_t *at, uint32_t value) {
    at[0] = value >> 16;
    at[1] = value & 0xFFFF;
}

static uint32_t get32(const uint16_t *at) { return (uint32_t)at[0] << 16 | at[1]; }

static uint32_t clock_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)(now.tv_sec * 1000 + now.tv_nsec / 1000000);
}

/* One scan: what the line says, then what this says. Part 1 is counted once the heartbeat has moved. */
static void scan(void) {
    if (rx[0] == MAP_VERSION && rx[LINE_SEQUENCE] == rx[LINE_SEQUENCE_END]) {
        if (!heard) first_beat = rx[LINE_HEARTBEAT];
        heard = 1;
        beats = beats || rx[LINE_HEARTBEAT] != first_beat;
        const uint16_t *result = rx + RESULT_1;
        if (get32(rx + LINE_SESSION) == SESSION && get32(result) == 1 && result[2] == OK) taken = 1;
    }
    tx[0] = MAP_VERSION;
    tx[PLC_STATUS] = READY;
    put32(tx + PLC_SESSION, SESSION);
    put32(tx + PLC_CLOCK_MS, clock_ms());
    if (beats && get32(tx + PLC_PART_COUNT) == 0) {
        put32(tx + PLC_PART_COUNT, 1);
        put32(tx + PHOTO_EYE_1, 1);
        put32(tx + PHOTO_EYE_1 + 2, clock_ms());
    }
    if (taken) {
        put32(tx + PLC_RESULTS_TAKEN, 1);
        put32(tx + PLC_GATE_COUNT, 1);
        put32(tx + GATE_RESULT_1, 1);
        tx[GATE_RESULT_1 + 2] = PASSED;
        tx[GATE_RESULT_1 + 3] = WHY_OK;
    }
    tx[PLC_SEQUENCE] = tx[PLC_SEQUENCE_END] = ++sequence;
}

static int done(void) { return taken && get32(rx + LINE_GATE_READ) == 1; }

static int fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, modbus_strerror(errno));
    return 1;
}

static int as_client(int port) {
    modbus_t *line = modbus_new_tcp("127.0.0.1", port);
    if (!line || modbus_connect(line)) return fail("connect");
    for (int i = 0; i < SCANS && !done(); i++) {
        scan();
        if (modbus_write_registers(line, 0, PLC_SIZE, tx) != PLC_SIZE) return fail("write");
        if (modbus_read_input_registers(line, 0, LINE_SIZE, rx) != LINE_SIZE) return fail("read");
        usleep(SCAN_US);
    }
    modbus_close(line);
    modbus_free(line);
    return done() ? 0 : 2;
}

static int as_server(void) {
    modbus_t *plc = modbus_new_tcp("127.0.0.1", 0);
    modbus_mapping_t *map = modbus_mapping_new(0, 0, LINE_SIZE, PLC_SIZE);
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    int listener = modbus_tcp_listen(plc, 1);
    if (listener < 0 || !map) return fail("listen");
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    if (modbus_tcp_accept(plc, &listener) < 0) return fail("accept");
    for (int i = 0; i < 2 * SCANS && !done(); i++) {
        int length = modbus_receive(plc, query);
        if (length < 0) return fail("receive");
        memcpy(rx, map->tab_registers, sizeof rx);
        scan();
        memcpy(map->tab_input_registers, tx, sizeof tx);
        if (modbus_reply(plc, query, length, map) < 0) return fail("reply");
        memcpy(rx, map->tab_registers, sizeof rx);
    }
    modbus_mapping_free(map);
    modbus_close(plc);
    modbus_free(plc);
    return done() ? 0 : 2;
}

int main(int argc, char **argv) {
    if (argc == 3 && !strcmp(argv[1], "client")) return as_client(atoi(argv[2]));
    if (argc == 2 && !strcmp(argv[1], "server")) return as_server();
    fprintf(stderr, "usage: libmodbus_plc client PORT | server\n");
    return 64;
}
