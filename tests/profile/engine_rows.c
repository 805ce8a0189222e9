/* The engine: two virtual nodes with virtual time between them, from first contact to rotation. */
#include "measure.h"

#include "duo.h"

#include <stdlib.h>

static struct duo duo;
static bool is_made;

static void wipe(void)
{
    if (is_made)
        duo_free(&duo);
    is_made = false;
}

static void make(bool no_key)
{
    wipe();
    duo = duo_new(&(struct duo_config){
        .seed = 1,
        .of_a = {.no_key = no_key},
        .of_b = {.no_key = no_key, .no_endpoint = true},
    });
    is_made = true;
}

static void prepare_contact(const struct measure_row *row)
{
    (void)row;
    make(true);
}

static void prepare_nodes(const struct measure_row *row)
{
    (void)row;
    make(false);
}

static void run_establish(const struct measure_row *row)
{
    (void)row;
    duo_establish(&duo);
}

static void prepare_session(const struct measure_row *row)
{
    prepare_nodes(row);
    duo_establish(&duo);
}

static void run_rotate(const struct measure_row *row)
{
    (void)row;
    lab_rotate(duo.a, duo.b);
    lab_run_for(duo.lab, SECS(1));
}

/* Ten minutes of a little traffic: two rotations by time, keepalives, the end of old keys. */
static void run_upkeep(const struct measure_row *row)
{
    (void)row;
    (void)lab_flow(duo.a, duo.b, SECS(7), duo.lab->now + SECS(600));
    lab_run_for(duo.lab, SECS(620));
    assert_int_equal(lab_status(duo.a, duo.b).rotations, 2);
}

static const struct measure_row rows[] = {
    {"engine/first-contact", "session", 1, prepare_contact, run_establish, 0, 0, 0, 0},
    {"engine/session", "session", 1, prepare_nodes, run_establish, 0, 0, 0, 0},
    {"engine/rotation", "rotation", 1, prepare_session, run_rotate, 0, 0, 0, 0},
    {"engine/ten-minutes", "session", 1, prepare_session, run_upkeep, 0, 0, 0, 0},
};

int main(int argc, char **argv)
{
    int status = measure_main(argc, argv, rows, sizeof(rows) / sizeof(rows[0]));

    wipe();
    return status;
}
