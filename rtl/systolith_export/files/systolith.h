/* Driver of the Systolith accelerator: plain C99, no allocation, no other library.
 *
 * One device runs the programs of one image at a time. An image file (see the page on the compiler) is checked by
 * systolith_image_open, copied to main memory by systolith_load, and then run any number of times:
 *
 *     systolith_open(&device, &platform, 1000000);
 *     systolith_image_open(&image, file, file_size);
 *     systolith_load(&device, &image, memory, address, room);
 *     systolith_tensor(&image, "inputs", 0, &tensor);
 *     systolith_write(&device, &tensor, input);
 *     systolith_run(&device);
 *     systolith_tensor(&image, "outputs", 0, &tensor);
 *     systolith_read(&device, &tensor, output);
 */
#ifndef SYSTOLITH_H
#define SYSTOLITH_H

#include <stdint.h>

#include "systolith_regs.h"

#ifdef __cplusplus
extern "C" {
#endif

enum systolith_result {
    SYSTOLITH_OK = 0,
    SYSTOLITH_RUNNING,             /* a program runs */
    SYSTOLITH_FAILED,              /* the last program ended with an error: see systolith_last_error */
    SYSTOLITH_NO_DEVICE,           /* register ID has another value */
    SYSTOLITH_WRONG_VERSION,       /* the driver was generated for another version of the registers */
    SYSTOLITH_NO_IMAGE,            /* no image file of a known version, or none loaded */
    SYSTOLITH_DAMAGED_IMAGE,       /* checksum or header of the image file is wrong */
    SYSTOLITH_WRONG_CONFIGURATION, /* the image was compiled for another configuration */
    SYSTOLITH_NO_ROOM,             /* the image is larger than the memory given */
    SYSTOLITH_MISALIGNED,          /* the address must be a multiple of 4096 */
    SYSTOLITH_NOT_FOUND,           /* no such step or tensor */
    SYSTOLITH_HOST_OPERATOR        /* a step is an operator for the host: run the steps one by one */
};

/* How the driver reaches the hardware. Functions that a platform does not need are null. */
struct systolith_platform {
    void *context;                                                     /* first argument of all functions */
    uint32_t (*read)(void *context, uint32_t offset);                  /* register at a byte offset */
    void (*write)(void *context, uint32_t offset, uint32_t value);
    void (*wait)(void *context);                                       /* sleep until an interrupt; null: poll */
    void (*clean)(void *context, const void *data, uint32_t size);     /* write the data cache back */
    void (*invalidate)(void *context, void *data, uint32_t size);      /* drop data from the cache */
};

/* Register access for registers in the address space; `context` is their first address. */
uint32_t systolith_mmio_read(void *context, uint32_t offset);
void systolith_mmio_write(void *context, uint32_t offset, uint32_t value);

struct systolith_error {
    uint32_t code;     /* enum systolith_error_code; 0 after an abort */
    uint32_t engine;   /* 0 LOAD, 1 COMPUTE, 2 VECTOR, 3 STORE, 15 command processor */
    uint32_t response; /* AXI response: 2 SLVERR, 3 DECERR */
    uint32_t address;  /* of the access or of the command */
    uint32_t position; /* the same, relative to the image */
    uint32_t program;  /* offset of the first command of the program that failed, relative to the image */
};

/* Image file; points into the file, which must stay where it is. */
struct systolith_image {
    const char *header;
    uint32_t header_size;
    const uint8_t *contents;
    uint32_t size; /* bytes of main memory */
};

/* One step of an inference. */
struct systolith_step {
    int on_host;       /* 0: a program; 1: an operator for the host */
    uint32_t program;  /* offset of its first command */
    uint32_t operator_index;
};

/* Where a tensor lies in main memory. */
struct systolith_tensor {
    uint32_t offset;
    uint32_t size; /* bytes */
};

struct systolith_device {
    struct systolith_platform platform;
    const struct systolith_image *image;
    uint8_t *memory;
    uint32_t address;
    uint32_t program;
    volatile int state; /* enum systolith_result */
    struct systolith_error error;
};

/* Check that the device is there and set it up. `watchdog`: cycles without progress until a run is stopped, 0: never. */
int systolith_open(struct systolith_device *device, const struct systolith_platform *platform, uint32_t watchdog);

/* Check an image file: magic, version, checksum. */
int systolith_image_open(struct systolith_image *image, const void *file, uint32_t size);

/* Step or tensor of an image; `list` is "inputs", "outputs" or "scratch". SYSTOLITH_NOT_FOUND behind the last. */
int systolith_step(const struct systolith_image *image, uint32_t index, struct systolith_step *step);
int systolith_tensor(const struct systolith_image *image, const char *list, uint32_t index,
                     struct systolith_tensor *tensor);

/* Compare the configuration of an image with the device, copy the image to `memory` of `room` bytes, which the
 * accelerator sees at `address`, and set BASE, LIMIT and WRITABLE. */
int systolith_load(struct systolith_device *device, const struct systolith_image *image, void *memory,
                   uint32_t address, uint32_t room);

/* Copy a tensor to or from the memory of the loaded image; no program may run. */
int systolith_write(struct systolith_device *device, const struct systolith_tensor *tensor, const void *data);
int systolith_read(struct systolith_device *device, const struct systolith_tensor *tensor, void *data);

/* Start a program. Then call systolith_poll until it no longer answers SYSTOLITH_RUNNING, or systolith_interrupt
 * in the interrupt's handler and systolith_state elsewhere. */
int systolith_start(struct systolith_device *device, uint32_t program);
int systolith_poll(struct systolith_device *device);
int systolith_interrupt(struct systolith_device *device);
int systolith_state(const struct systolith_device *device);

/* Stop a run; it ends with SYSTOLITH_FAILED and error code 0. */
void systolith_abort(struct systolith_device *device);

/* Wait for the end of a program: with `wait` of the platform, which returns after systolith_interrupt has been
 * called (or calls it), else by polling. */
int systolith_finish(struct systolith_device *device);

/* Run all programs of the loaded image. */
int systolith_run(struct systolith_device *device);

/* Counters of the last run; the reason of its error, where it had one. */
void systolith_read_counters(const struct systolith_device *device, struct systolith_counters *counters);
const struct systolith_error *systolith_last_error(const struct systolith_device *device);

/* Words for people. */
const char *systolith_error_text(uint32_t code);
const char *systolith_engine_name(uint32_t engine);

#ifdef __cplusplus
}
#endif

#endif
