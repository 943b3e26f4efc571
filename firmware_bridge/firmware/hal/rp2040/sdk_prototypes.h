/* What main.c uses of the pico-sdk, as its documentation (2.x) declares it: prototypes and nothing behind them. NOT the SDK.
 * For `make rp2040-prototypes` alone, where the SDK is not at hand: it shows that the HAL compiles for the processor with the
 * right arguments and types, and nothing about what it does there. The real build (CMakeLists.txt) never sees this file. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

typedef unsigned int uint;

/* pico/platform.h */
#define __not_in_flash_func(name) __attribute__((section(".time_critical." #name))) name

/* pico/types.h: a struct, as in the SDK's debug builds, so that no plain number is taken for a time */
typedef struct {
    uint64_t _private_us_since_boot;
} absolute_time_t;
absolute_time_t from_us_since_boot(uint64_t us_since_boot);

/* hardware/gpio.h */
enum gpio_irq_level { GPIO_IRQ_LEVEL_LOW = 0x1u, GPIO_IRQ_LEVEL_HIGH = 0x2u, GPIO_IRQ_EDGE_FALL = 0x4u, GPIO_IRQ_EDGE_RISE = 0x8u };
typedef void (*gpio_irq_callback_t)(uint gpio, uint32_t event_mask);
void gpio_init_mask(uint gpio_mask);
void gpio_pull_up(uint gpio);
uint32_t gpio_get_all(void);
void gpio_put_masked(uint32_t mask, uint32_t value);
void gpio_set_dir_out_masked(uint32_t mask);
void gpio_set_dir_in_masked(uint32_t mask);
void gpio_set_irq_enabled(uint gpio, uint32_t event_mask, bool enabled);
void gpio_set_irq_enabled_with_callback(uint gpio, uint32_t event_mask, bool enabled, gpio_irq_callback_t callback);

/* hardware/sync.h */
uint32_t save_and_disable_interrupts(void);
void restore_interrupts(uint32_t status);

/* hardware/timer.h; set_target returns true when the moment was missed already */
typedef void (*hardware_alarm_callback_t)(uint alarm_num);
uint64_t time_us_64(void);
int hardware_alarm_claim_unused(bool required);
void hardware_alarm_set_callback(uint alarm_num, hardware_alarm_callback_t callback);
bool hardware_alarm_set_target(uint alarm_num, absolute_time_t t);
void hardware_alarm_cancel(uint alarm_num);

/* hardware/watchdog.h */
void watchdog_enable(uint32_t delay_ms, bool pause_on_debug);
void watchdog_update(void);
bool watchdog_enable_caused_reboot(void);

/* pico/rand.h, pico/unique_id.h */
uint32_t get_rand_32(void);
typedef struct {
    uint8_t id[8];
} pico_unique_board_id_t;
void pico_get_unique_board_id(pico_unique_board_id_t *id_out);

/* pico/stdio.h, pico/stdio_usb.h, tusb.h */
bool stdio_init_all(void);
void stdio_flush(void);
int getchar_timeout_us(uint32_t timeout_us);
int putchar_raw(int c);
bool stdio_usb_connected(void);
uint32_t tud_cdc_write_available(void);
